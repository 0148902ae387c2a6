"""The case: a schedule is deployed again every few seconds, and nothing in it changes."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time

from core.lab.processes import is_free
from core.waiting import until
from tests.conformance import cases
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S
from tests.conformance.redeployed_schedule import work
from tests.conformance.redeployed_schedule.pipelines import DEPLOY, LOAD, PACE_S
from tests.contract.bench import end
from tests.questions.asking import Asking

EVERY_S = {"airflow": 15, "dagster": 60, "prefect": 30}
"""The interval of the schedule: as in the code of each."""

DEPLOYS = {"airflow": 18, "dagster": 5, "prefect": 20}
"""How often it is deployed: for two minutes or more."""

PAUSE_S = {"airflow": PACE_S, "dagster": 47, "prefect": PACE_S}
"""The time from one deploy to the next. A code server takes up to 30 s to start on a busy machine."""


def observe(asking: Asking) -> Observed:
    """Return how many ticks there were, how many of them had no run, and how many runs were too many."""
    at, every = asking.bench.lab.settings, EVERY_S[asking.orchestrator]
    work.path(at).unlink(missing_ok=True)
    deploy(asking, 1)
    asking.runs.schedule(LOAD, active=True)
    try:
        until(lambda: work.ticks(at) or None, PATIENCE_S, POLL_S, "the first tick")
        deploy(asking, DEPLOYS[asking.orchestrator])
        # A late run of a tick from before the last deploy comes before the second tick after it.
        wanted = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=every)
        until(lambda: work.ticks(at)[-1] > wanted or None, 3 * PATIENCE_S, POLL_S, "a tick after the deploys")
    finally:
        asking.runs.schedule(LOAD, active=False)
    runs = work.ticks(at)
    ticks = round((runs[-1] - runs[0]).total_seconds() / every) + 1
    distinct = len(set(runs))
    return {"ticks": ticks, "ticks without a run": ticks - distinct, "runs too many": len(runs) - distinct}


def deploy(asking: Asking, times: int) -> None:
    """Deploy the schedule as it is, so often."""
    if asking.orchestrator == "prefect":
        run = asking.run(DEPLOY, {"times": times})
        assert run.state == "success", run.error
        return
    once = {"airflow": save, "dagster": restart}[asking.orchestrator]
    pause_s = PAUSE_S[asking.orchestrator]
    for _ in range(times):
        due = time.monotonic() + pause_s
        once(asking)
        until(lambda: time.monotonic() >= due or None, 2 * pause_s, 0.1, "the next deploy")  # noqa: B023  # at once


def save(asking: Asking) -> None:
    """Write the file of the DAG: what counts is that it is newer."""
    os.utime(cases.FOLDER / LOAD / cases.FILES["airflow"])


def restart(asking: Asking) -> None:
    """Restart the code server."""
    stack = asking.bench.lab.stack(asking.runs.orchestrator)
    (server,) = [each for each in stack.start().processes if each.name == "further-code-server"]
    os.kill(server.pid, signal.SIGTERM)
    end(server.pid)
    port = stack.start().ports["further"]
    until(lambda: not is_free(port) or None, PATIENCE_S, POLL_S, "the code server")


CASE = Case(
    question="Has each tick of a schedule one run while the schedule is deployed again and again?",
    theme="Dates",
    report="PrefectHQ/prefect#18894",
    right=lambda observed: observed["ticks without a run"] == observed["runs too many"] == 0,
    right_answer="Each tick has one run: a deploy that changes nothing neither drops one nor doubles it.",
    expected={
        "airflow": Expected("right", "The scheduler creates a run when it is due, from the newest version of the DAG."),
        "dagster": Expected(
            "right", "The daemon keeps the time of the last tick, and makes up for those that it missed."
        ),
        "prefect": Expected(
            "wrong",
            "A deploy deletes the runs of the next ticks, and the scheduler creates them again up to 5 s later: some "
            "ticks get two runs, and by the code one that is due before then gets none.",
        ),
    },
    observe=observe,
    differs="The report is of doubled runs; the case counts ticks without one as well. Dagster's tick every minute.",
)
