"""The question: who tells of what has gone wrong, how soon, and what is told while the scheduler is dead."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil

from core.errors import TransientError
from core.lab.protocol import ProcessRecord, RunRecord
from core.waiting import until
from tests.questions.alerts import work
from tests.questions.alerts.pipelines import CHECKED, DYING, FAILING, LATE, LATE_BUT_ENDED, TABLE, UNCHECKED
from tests.questions.asking import Answers, Asking, How, Question, Row

PATIENCE_S = 240.0
"""How long anything that must happen may take, on a busy machine."""

NEVER_S = 45.0
"""How long to look for an alert that may never come, once the run has ended."""

STOPPED_S = work.LATE_S + 15.0
"""How long the scheduler is dead: until an alert on a late run is overdue by more than every polling interval."""

ENDS_S = 10.0
"""How long it then goes on, for a late run to end."""

ROUNDS = 3
"""How many runs fail, one after the other."""

BOUNDS = {
    "failed run": {
        "airflow": "the DAG processor's loop, about 1 s, and the time to parse the file: each callback is a process",
        "dagster": "minimum_interval_seconds of the sensor, here the daemon's 5 s, by default 30 s",
        "prefect": "nothing that polls: events arrive over a socket",
    },
    "late run": {
        "airflow": "the scheduler's loop, here 0.1 s, by default 1 s, and the triggerer's",
        "dagster": "minimum_interval_seconds of the sensor, here the daemon's 5 s, by default 30 s",
        "prefect": "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY, 5 s",
    },
    "old table": {
        "airflow": "the schedule of the DAG that looks, here 10 s",
        "dagster": "FRESHNESS_DAEMON_INTERVAL_SECONDS, 30 s, and then the sensor's",
        "prefect": "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY, 5 s",
    },
}
"""The polling interval that bounds an alert, by orchestrator."""


@dataclass(frozen=True)
class Alert:
    """An alert that has arrived."""

    alert: str
    pipeline: str
    at: float
    pids: Sequence[int]
    """The process that posted it, and those above it."""


@dataclass
class Endpoint:
    """An HTTP server of this machine, and the alerts that were posted to it."""

    arrived: list[Alert] = field(default_factory=list)

    @contextmanager
    def opened(self) -> Iterator[str]:
        """Take posts, and yield the address."""
        arrived = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at, pids = time.time(), posted_by(self.client_address[1], self.connection.getsockname()[1])
                fact = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                arrived.append(Alert(fact["alert"], fact["pipeline"], at, pids))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}/"
            finally:
                server.shutdown()

    def of(self, alert: str, pipeline: str, since: float = 0.0) -> list[Alert]:
        """Return the alerts of a kind on a pipeline that arrived since then."""
        return [each for each in self.arrived if (each.alert, each.pipeline) == (alert, pipeline) and each.at >= since]


def posted_by(port: int, server: int) -> list[int]:
    """Return the process at the other end of a connection, which is open, and those above it."""
    for each in psutil.net_connections("tcp4"):
        if each.laddr and each.laddr.port == port and each.raddr and each.raddr.port == server and each.pid:
            with suppress(psutil.Error):
                return [each.pid, *(parent.pid for parent in psutil.Process(each.pid).parents())]
    return []


@dataclass
class Scene:
    """The situations that rows look at: each is brought about once, when it is first looked at."""

    asking: Asking
    endpoint: Endpoint
    services: dict[int, ProcessRecord]
    """The services, by their process."""

    @property
    def folder(self) -> Any:
        return work.folder(self.asking.bench.lab.settings)

    def notes(self, pipeline: str, what: str, since: float = 0.0) -> list[dict[str, Any]]:
        """Return what the tasks of a pipeline have written down."""
        path = self.folder / "notes"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [each for each in lines if (each["pipeline"], each["what"]) == (pipeline, what) and each["at"] >= since]

    def alert(self, alert: str, pipeline: str, since: float, patience_s: float = PATIENCE_S) -> Alert:
        """Return the first alert of a kind since then, once it has arrived."""
        return until(
            lambda: next(iter(self.endpoint.of(alert, pipeline, since)), None), patience_s, 0.05, f"{alert} {pipeline}"
        )

    def came(self, alert: str, pipeline: str, since: float, patience_s: float) -> bool:
        """Return whether an alert arrives within some seconds."""
        try:
            return bool(self.alert(alert, pipeline, since, patience_s))
        except TransientError:
            return False

    def hold(self, pipeline: str) -> tuple[str, float]:
        """Start a run that is held in its task; return its id, and when it was started."""
        since = time.time()
        (self.folder / f"{pipeline}.hold").touch()
        run_id = self.asking.runs.start(pipeline, {})
        until(lambda: self.notes(pipeline, "began", since) or None, PATIENCE_S, 0.05, f"the task of {pipeline}")
        return run_id, since

    def release(self, pipeline: str) -> None:
        """Let the run go on."""
        (self.folder / f"{pipeline}.hold").unlink()

    def who(self, alert: Alert, run_pid: int) -> str:
        """Return which process posted an alert."""
        if alert.pids and alert.pids[0] == run_pid:
            return "the run's own process"
        if not alert.pids:
            return "unknown"
        above = next((self.services[pid] for pid in alert.pids if pid in self.services), None)
        if above is None:
            return "another process"
        # Dagster's code server of the further pipelines is one like any other.
        name = above.name.removeprefix("further-").replace("-", " ")
        return f"the {name}" if above.pid == alert.pids[0] else f"a process of the {name}"

    # ------------------------------------------------ a failure

    @cached_property
    def failed(self) -> dict[str, list[tuple[float, str]]]:
        """Runs that fail: of each, the seconds to both alerts, and who posted them."""
        found: dict[str, list[tuple[float, str]]] = {"task": [], "run": []}
        for _ in range(ROUNDS):
            since = time.time()
            self.asking.run(FAILING, {})
            note = self.notes(FAILING, "fails", since)[0]
            for kind, seen in found.items():
                alert = self.alert(kind, FAILING, since)
                seen.append((alert.at - note["at"], self.who(alert, note["pid"])))
        return found

    def told_in(self) -> Any:
        return {"told": len(self.failed["task"]), "by": one(who for _, who in self.failed["task"])}

    def told_out(self) -> Any:
        return {"told": len(self.failed["run"]), "by": one(who for _, who in self.failed["run"])}

    def seconds_in(self) -> Any:
        return figure([seconds for seconds, _ in self.failed["task"]])

    def seconds_out(self) -> Any:
        return figure([seconds for seconds, _ in self.failed["run"]])

    @cached_property
    def died(self) -> dict[str, Any]:
        """A run whose process is killed."""
        since = time.time()
        record = self.asking.run(DYING, {})
        out = self.came("run", DYING, since, NEVER_S)
        within = self.came("task", DYING, since, 0)
        return {"run": record.state, "from inside": within, "from outside": out}

    # ------------------------------------------------ too late, too old

    @cached_property
    def late(self) -> dict[str, Any]:
        """A run in time, and one that is late."""
        first = time.time()
        self.asking.run(LATE, {})
        run_id, since = self.hold(LATE)
        begun = self.notes(LATE, "began", since)[0]
        alert = self.alert("late", LATE, since)
        self.release(LATE)
        record = self.asking.runs.observe(LATE, run_id, wait_s=None)
        due = seconds_of(record.created_at or record.started_at) + work.LATE_S
        told = len(self.endpoint.of("late", LATE, first))
        return {"told": told, "by": self.who(alert, begun["pid"]), "s": round(alert.at - due, 1), "run": record.state}

    @cached_property
    def old(self) -> dict[str, Any]:
        """A table that is updated once."""
        since = time.time()
        record = self.asking.run(TABLE, {})
        with self.looked_after():
            alert = self.alert("old", TABLE, since)
        updated = seconds_of(record.tasks[0].ended_at or record.ended_at)
        return {"told": True, "by": self.who(alert, 0), "s": round(alert.at - updated - work.OLD_S, 1)}

    @contextmanager
    def looked_after(self) -> Iterator[None]:
        """Have Airflow's DAG look at the age of the table; the others look all the time."""
        if self.asking.orchestrator != "airflow":
            yield
            return
        self.asking.runs.schedule("alerts_age", active=True)
        try:
            yield
        finally:
            self.asking.runs.schedule("alerts_age", active=False)

    # ------------------------------------------------ the scheduler is dead

    @cached_property
    def dead(self) -> dict[str, str]:
        """A run fails, and two become late, one of which ends, while what decides is stopped, for `STOPPED_S`.

        It is stopped and not killed: the lab's supervisor would start it again.
        """
        since = time.time()
        held = {pipeline: self.hold(pipeline)[0] for pipeline in (LATE, LATE_BUT_ENDED, FAILING)}
        watched = [("task", FAILING), ("run", FAILING), ("late", LATE), ("late", LATE_BUT_ENDED)]
        with stopped(self.deciders()):
            self.release(FAILING)
            with suppress(TransientError):
                until(lambda: all(self.endpoint.of(*each, since) for each in watched) or None, STOPPED_S, 0.2, "alerts")
            self.release(LATE_BUT_ENDED)
            with suppress(TransientError):
                until(lambda: self.endpoint.of(*watched[-1], since) or None, ENDS_S, 0.2, "an alert on a run that ends")
            told = {each: len(self.endpoint.of(*each, since)) for each in watched}
        with suppress(TransientError):
            until(lambda: all(self.endpoint.of(*each, since) for each in watched) or None, NEVER_S, 0.2, "alerts")
        self.release(LATE)
        for pipeline, run_id in held.items():
            self.asking.runs.observe(pipeline, run_id, wait_s=None)
        return {" ".join(each): when(told[each], len(self.endpoint.of(*each, since))) for each in watched}

    def deciders(self) -> list[int]:
        """Return the processes that decide what runs: the scheduler's, the daemon's, or else the server's."""
        by_role = {each.role: pid for pid, each in reversed(self.services.items())}
        if role := next((role for role in ("scheduler", "daemon") if role in by_role), None):
            return [by_role[role]]
        server = psutil.Process(by_role["API"])
        return [server.pid, *(child.pid for child in server.children(recursive=True))]

    # ------------------------------------------------ green, but empty

    def emptied(self, pipeline: str, last: str) -> dict[str, Any]:
        """Return what is said of a run that has loaded nothing."""
        since = time.time()
        record: RunRecord = self.asking.run(pipeline, {})
        states = {each.task: each.state for each in record.tasks}
        is_told = self.came("run", pipeline, since, NEVER_S if record.state == "failed" else 10)
        return {"run": record.state, "downstream ran": states.get(last) == "success", "told": is_told}

    @cached_property
    def unchecked(self) -> dict[str, Any]:
        """A run without a check."""
        return self.emptied(UNCHECKED, "use")

    @cached_property
    def checked(self) -> dict[str, Any]:
        """A run with a check."""
        return self.emptied(CHECKED, "use_checked")


def one(words: Iterator[str]) -> str:
    """Return the words, each once."""
    return " or ".join(sorted(set(words)))


def figure(values: Sequence[float]) -> dict[str, Any]:
    """Return what is told of some times in seconds."""
    return {"n": len(values), "median_s": round(statistics.median(values), 1), "max_s": round(max(values), 1)}


def seconds_of(time_: str | None) -> float:
    """Return an instant of a record as seconds."""
    assert time_
    return dt.datetime.fromisoformat(time_).timestamp()


def when(dead: int, all_of_them: int) -> str:
    """Return when something was told, by how often it was until the end of the stop, and altogether."""
    often = "once" if all_of_them == 1 else f"{all_of_them} times"
    if dead:
        return f"while it is dead, {often}"
    return f"when it is back, {often}" if all_of_them else "never"


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Stop processes with SIGSTOP, and let them go on afterwards."""
    with ExitStack() as undone:
        for pid in pids:
            undone.callback(os.kill, pid, signal.SIGCONT)
            os.kill(pid, signal.SIGSTOP)
        yield


@dataclass(frozen=True)
class Case:
    """One row: what is asked, in which part of the table, and what is looked at."""

    about: str
    what: str
    answer: Callable[[Scene], Any]
    expected: Any = None
    how: Mapping[str, How] = field(default_factory=dict)
    in_tests: bool = False

    @property
    def row(self) -> Row:
        """The line of the table."""
        return Row({"about": self.about, "case": self.what}, self.expected, self.how, self.in_tests)


SENSOR: Mapping[str, How] = {"dagster": "emulated"}
AGE: Mapping[str, How] = {"airflow": "emulated", "dagster": "emulated"}


def without(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the facts without some."""
    return {name: value for name, value in found.items() if name not in names}


CASES = (
    Case("failure", "a run raises, told from inside", Scene.told_in, in_tests=True),
    Case("failure", "a run raises, told from outside", Scene.told_out, in_tests=True),
    Case("failure", "a run's process is killed", lambda scene: scene.died,
         {"run": "failed", "from inside": False, "from outside": True}),
    Case("time", "too late", lambda scene: without(scene.late, "s"), None, SENSOR),
    Case("time", "too old", lambda scene: without(scene.old, "s"), None, AGE),
    Case("dead", "a run raises, told from inside", lambda scene: scene.dead[f"task {FAILING}"]),
    Case("dead", "a run raises, told from outside", lambda scene: scene.dead[f"run {FAILING}"]),
    Case("dead", "a run becomes too late", lambda scene: scene.dead[f"late {LATE}"], None, SENSOR),
    Case("dead", "a run becomes too late, and ends before anybody looks",
         lambda scene: scene.dead[f"late {LATE_BUT_ENDED}"], None, SENSOR),
    Case("empty", "without a check", lambda scene: scene.unchecked,
         {"run": "success", "downstream ran": True, "told": False}, in_tests=True),
    Case("empty", "with a check", lambda scene: scene.checked,
         {"run": "failed", "downstream ran": False, "told": True}, in_tests=True),
    Case("seconds", "from the failure, told from inside", Scene.seconds_in),
    Case("seconds", "from the failure, told from outside", Scene.seconds_out),
    Case("seconds", "from the deadline of a late run", lambda scene: scene.late["s"], None, SENSOR),
    Case("seconds", "from the minute after which the table is old", lambda scene: scene.old["s"], None, AGE),
    *(Case("bound", name, lambda scene, name=name: BOUNDS[name][scene.asking.orchestrator])  # type: ignore[misc]
      for name in BOUNDS),
)  # fmt: skip

SIDE_BY_SIDE = {"a run's process is killed": "died", "too late": "late", "too old": "old"}
"""What may be brought about while other runs fail: it mostly waits. The scheduler is stopped afterwards."""


@contextmanager
def watched(asking: Asking, endpoint: Endpoint) -> Iterator[None]:
    """Take alerts. Prefect's automations are created by a run; what watches in the others is in their files."""
    folder = work.folder(asking.bench.lab.settings)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    with endpoint.opened() as address:
        (folder / "endpoint").write_text(address)
        if asking.orchestrator == "prefect":
            asking.run("alerts_watch", {})
        yield


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield the rows in their order."""
    endpoint = Endpoint()
    wanted = [case for case in CASES if case.row in rows]
    with watched(asking, endpoint):
        # The order of services in the answer is that in which they were started.
        found = [each.record for each in asking.runs.processes() if each.record.role != "run"]
        scene = Scene(asking, endpoint, {each.pid: each for each in found})
        names = {name for case in wanted if (name := SIDE_BY_SIDE.get(case.what))}
        with ThreadPoolExecutor(3) as pool:
            waits = [pool.submit(getattr, scene, name) for name in names]
            if any(case.about == "failure" for case in wanted):
                assert scene.failed
            for each in waits:
                each.result()
        for case in wanted:
            yield case.row, case.answer(scene)


def same(recorded: Any, found: Any) -> bool:
    """Return whether two answers agree: of figures, only the names."""
    if isinstance(found, float):
        return isinstance(recorded, float)
    if isinstance(found, dict) and "median_s" in found:
        return isinstance(recorded, dict) and recorded.keys() == found.keys()
    return bool(recorded == found)


QUESTION = Question(
    "alerts",
    "Who tells of a failure, a late run, an old table and an empty one, how soon, and while the scheduler is dead?",
    [case.row for case in CASES],
    ask,
    same=same,
)
