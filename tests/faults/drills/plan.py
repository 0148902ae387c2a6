"""The drills, as data: which component of an orchestrator gets which signal, in which phase of a backfill.

A component is a role of the runner protocol (`core.lab.protocol.Role`), or one of these four:

    step        the process that executes the step under way
    above       the process that started it: Airflow's worker, Dagster's fork server, the supervisor in the warm engine
    host        the machine that does the work: all processes of runs and of the services that start them, at once; the
                API lives on, and with it what is recorded
    database    PostgreSQL, with the warehouse and the orchestrator's own records

A service is started again by the lab's supervisor when it dies, as systemd or Kubernetes does for whoever runs these
orchestrators in earnest. That restart is part of the setup: such a drill asks what becomes of the runs. What the death
of a step's process, or of the one above it, leads to is the orchestrator's own affair. A stopped process has not died,
so no supervisor does anything about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from core.errors import UsageError, quoted

KILL, STOP = "SIGKILL", "SIGSTOP"

EXPERT, DEFAULTS = "expert", "defaults"
"""The settings that the adapter sets, or those that decide when something lost is noticed, as they are shipped."""

USUAL = "usual"
"""The adapter's settings, but the usual pattern instead of the core's load (`tests.faults.drills.contrast`)."""

KINDS = (EXPERT, DEFAULTS, USUAL)

OF_USUAL = "airflow"
"""The orchestrator with which the usual pattern is drilled."""

STEP, ABOVE, HOST, DATABASE = "step", "above", "host", "database"

ON_HOST = {"run", "worker", "scheduler", "daemon", "code server"}
"""The roles of the processes that die with the host."""

BEFORE, LOAD, BETWEEN, DBT, LAST = "before", "load", "between", "dbt", "last"

PHASES = {
    BEFORE: "before the first run",
    LOAD: "load under way",
    BETWEEN: "between load and transform",
    DBT: "dbt under way",
    LAST: "last run",
}
"""Each phase, and what it is called on the page. `tests.faults.drills.phases` says how a backfill is held there."""

SERVICES: dict[str, dict[str, str]] = {
    "airflow": {"scheduler": "scheduler", "api": "api-server", "code-server": "dag-processor"},
    "dagster": {"daemon": "daemon", "api": "webserver", "code-server": "code-server"},
    "prefect": {"worker": "worker", "api": "server", "engine": "engine"},
}
"""The services of each orchestrator by component, as the verb `processes` names them. Prefect's server is scheduler and
API in one process, and has nothing that reads the user's code: the lab's warm engine has imported it."""

STARTS_RUNS = {"airflow": "scheduler", "dagster": "daemon", "prefect": "worker"}
"""The component that starts the runs."""

HEARTBEAT_S = {
    # A task's heartbeat of 30 s, looked at every 3 s; as shipped 300 s and 10 s.
    ("airflow", EXPERT): {"": 40.0, "scheduler": 70.0, HOST: 70.0},
    ("airflow", DEFAULTS): {"": 320.0},
    # Run monitoring looks every 15 s at the runs, and gives a run that was created 60 s to start; the daemon says every
    # 30 s that it lives.
    ("dagster", EXPERT): {"": 40.0, "daemon": 80.0, "database": 80.0, HOST: 80.0},
    # A worker is offline after three heartbeats of 30 s; a run has a heartbeat only if it is asked to send one.
    ("prefect", EXPERT): {"": 40.0, "worker": 100.0},
}
"""How long a process stays stopped, by orchestrator and settings, and by component where that has another one: longer
than the heartbeat by which its end would be noticed. A killed step is waited for as long."""

OF_DEFAULTS = (STEP, ABOVE, HOST)
"""What is killed with the settings as they are shipped, besides what starts the runs; with the load under way only,
because each loss that Airflow notices by a heartbeat takes 300 s then."""


@dataclass(frozen=True)
class Drill:
    """One drill."""

    orchestrator: str
    settings: str
    component: str
    signal: str
    phase: str

    @property
    def name(self) -> str:
        """Its name, which no other drill has."""
        return " ".join((self.orchestrator, self.settings, self.component, self.signal, self.phase))

    @property
    def is_service(self) -> bool:
        """Whether the lab's supervisor starts the component again when it dies."""
        return self.component not in (STEP, ABOVE, HOST)

    @property
    def heartbeat_s(self) -> float:
        """How long the process stays stopped, or how long a killed step's end may take to be noticed."""
        kind = EXPERT if self.settings == USUAL else self.settings
        known = HEARTBEAT_S.get((self.orchestrator, kind), {"": 40.0})
        return known.get(self.component, known[""])


def components(orchestrator: str) -> list[str]:
    """Return the components of an orchestrator; of one that is not known here, those that each has."""
    return [STEP, ABOVE, *SERVICES.get(orchestrator, {}), DATABASE]


def drills(orchestrator: str, settings: str) -> Iterator[Drill]:
    """Yield the drills of an orchestrator with some settings."""
    if settings == USUAL:
        if orchestrator == OF_USUAL:
            of_usual = (STEP, ABOVE, STARTS_RUNS[orchestrator], HOST, DATABASE)
            yield from (Drill(orchestrator, settings, component, KILL, LOAD) for component in of_usual)
        return
    if settings == DEFAULTS:
        starter = [STARTS_RUNS[orchestrator]] if orchestrator in STARTS_RUNS else []
        yield from (Drill(orchestrator, settings, component, KILL, LOAD) for component in (*OF_DEFAULTS, *starter))
        return
    for component, phase in product(components(orchestrator), PHASES):
        # No step runs yet.
        if (component, phase) not in ((STEP, BEFORE), (ABOVE, BEFORE)):
            yield Drill(orchestrator, settings, component, KILL, phase)
    yield from (Drill(orchestrator, settings, component, STOP, LOAD) for component in components(orchestrator))
    yield Drill(orchestrator, settings, HOST, KILL, LOAD)


def every(names: Sequence[str], settings: Sequence[str] = KINDS) -> list[Drill]:
    """Return all drills: those that share services stand together."""
    return [drill for each in settings for orchestrator in names for drill in drills(orchestrator, each)]


def chosen(found: Sequence[Drill], only: str) -> list[Drill]:
    """Return the drills that `only` names: components, comma separated, as in ``step:load,above:load:SIGSTOP``.

    Without a phase or a signal, all of the component; with an empty `only`, all drills. Raise `UsageError` for what no
    drill has.
    """
    if not only:
        return list(found)
    kept = []
    for word in only.split(","):
        wanted = word.strip().split(":")
        of_word = [each for each in found if [each.component, each.phase, each.signal][: len(wanted)] == wanted]
        if not of_word:
            known = ", ".join(dict.fromkeys(each.component for each in found))
            raise UsageError(f"--only {quoted(word)}: no such drill: choose from {known}, or :{', :'.join(PHASES)}")
        kept += of_word
    return [each for each in found if each in kept]


def of_ci(orchestrator: str) -> list[Drill]:
    """Return the slice that every run of the contract tests asks: at least three drills."""
    # Killed, Dagster's code server takes the runs along, which its daemon does not.
    service = "code-server" if orchestrator == "dagster" else STARTS_RUNS.get(orchestrator, STEP)
    three = ((STEP, DBT), (ABOVE, LOAD), (service, LAST))
    return [Drill(orchestrator, EXPERT, component, KILL, phase) for component, phase in three]
