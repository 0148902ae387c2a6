"""The question: what is run again after a failure, and what ends when it is told to end."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from pyarrow import parquet

from core.errors import TransientError
from core.extract import sample
from core.lab.protocol import RunRecord
from core.month import parse_months
from core.waiting import until
from tests.contract.bench import is_alive
from tests.questions.asking import Answers, Asking, How, Question, Row
from tests.questions.recovery import work

PIPELINE, TIMED = "recover", "timed"

PATIENCE_S = 240.0
"""How long anything that must happen may take, on a busy machine."""

GONE_S = 30.0
"""How long to look whether a process ends that should."""

LATE_S = 10.0
"""How much later than its limit a run may end, and still be said to have ended in time."""

AGAIN_S = 15.0
"""How long to look whether a run that its time-out has ended is run again by itself."""

AT_ONCE = 3
"""How many situations to bring about at a time: most of their time they wait."""

ROWS = 400
"""Rows of a month, about."""

BACKFILLED = ("2024-01", "2024-02", "2024-03")
BROKEN, AT_LOAD, AT_REPORT, FLAKY, PERMANENT, FIRST, RETRIED, ALONE, HUNG, WAITING = (
    "2024-02", "2024-04", "2024-05", "2024-06", "2024-07", "2024-08", "2024-09", "2024-10", "2024-11", "2024-12",
)  # fmt: skip
"""The month of each situation."""

FAILURES = 3
"""How often the flaky task fails: as often as it is retried."""


@dataclass(frozen=True)
class Canceled:
    """What became of a run that was canceled while it wrote."""

    state: str
    gone_s: float | None
    """When its process was gone, after the cancellation; None when it was not within `GONE_S`."""
    has_left: bool
    """Whether its `finally` ran."""
    held: str
    """How much of its month is in the table, once nothing holds its writer back."""
    again: dict[str, str]
    """How another run of the month ended, and what is in the table then."""


@dataclass
class Scene:
    """One orchestrator, and what was brought about there, each situation once."""

    asking: Asking
    folder: Path
    versions: count[int] = field(default_factory=count)

    def tell(self, month: str, step: str, what: str = "fail") -> None:
        """Tell a step of a month what to do instead of its work."""
        (self.folder / f"{month}.{step}").write_text(what)

    def repair(self, month: str, step: str) -> None:
        """Let a step of a month do its work."""
        (self.folder / f"{month}.{step}").unlink()

    def deploy(self) -> None:
        """Put a new version of the code where the orchestrator reads it, and tell nobody."""
        (self.folder / "version").write_text(str(next(self.versions)))

    def notes(self, month: str, what: str) -> list[dict[str, Any]]:
        """Return what the tasks of a month have written down of one kind, oldest first."""
        path = self.folder / f"{month}.calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["what"] == what]

    def calls(self, month: str) -> dict[str, int]:
        """Return how often each step of a month has begun."""
        return dict(Counter(line["step"] for line in self.notes(month, "began")))

    def held(self, month: str) -> str:
        """Return how much of a month is in the table."""
        file = work.published(self.asking.bench.lab.settings) / f"green_tripdata_{month}.parquet"
        rows, published = self.table().get(month, 0), parquet.read_metadata(file).num_rows
        return {0: "nothing", published: "all of it"}.get(rows, f"{rows} of {published} rows")

    def table(self) -> dict[str, int]:
        """Return the rows of each month that is in the table."""
        schema = work.schema_of(self.asking.orchestrator)
        query = f"SELECT to_char(source_month, 'YYYY-MM'), count(*) FROM {schema}.raw_trips GROUP BY 1 ORDER BY 1"
        with self.asking.bench.connect() as connection:
            return {str(month): int(str(rows)) for month, rows in connection.execute(query)}

    def run(self, month: str) -> RunRecord:
        """Run a month, and return the record once it has ended."""
        return self.asking.run(PIPELINE, {}, month)

    def retried(self, run: RunRecord) -> RunRecord:
        """Run again what failed in a run, as its page does, and return the record of the run in which that is done."""
        return self.asking.runs.observe(PIPELINE, self.asking.runs.retry(PIPELINE, run.run_id), wait_s=None)

    # ------------------------------------------------ situations

    @cached_property
    def backfilled(self) -> tuple[Any, Any, Any]:
        """A backfill in which a month fails; then one of what has failed, and what that calls."""
        self.tell(BROKEN, "load")
        first = self.asking.backfill(PIPELINE, BACKFILLED, {})
        states = {each.month: each.state for each in first.months}
        why = next(each.error or "" for each in first.months if each.month == BROKEN)
        failed = {**states, "says why": told_to_fail(why), "in the table": self.months_of_the_backfill()}
        self.repair(BROKEN, "load")
        again = self.asking.backfill(PIPELINE, BACKFILLED, {}, "failed")
        months = {"runs": [each.month for each in again.months], "in the table": self.months_of_the_backfill()}
        return failed, months, self.calls(BROKEN)

    def months_of_the_backfill(self) -> list[str]:
        """Return those of its months that are in the table, whole."""
        return [month for month in BACKFILLED if self.held(month) == "all of it"]

    @cached_property
    def from_load(self) -> dict[str, Any]:
        """A run whose second step fails, and that is retried when its cause is repaired and a new version deployed."""
        return self.resumed(AT_LOAD, "load")

    @cached_property
    def from_report(self) -> dict[str, Any]:
        """The same, for the last step."""
        return self.resumed(AT_REPORT, "report")

    def resumed(self, month: str, step: str) -> dict[str, Any]:
        """Let a step fail, repair it, deploy a new version, and retry the run."""
        self.tell(month, step)
        failed = self.run(month)
        self.repair(month, step)
        self.deploy()
        retried = self.retried(failed)
        codes = [line["code"] for line in self.notes(month, "began") if line["step"] == step]
        return {
            "calls": {"state": retried.state, **self.calls(month)},
            "run": "the same one" if retried.run_id == failed.run_id else "a new one",
            "code": "old" if codes[0] == codes[-1] else "new",
        }

    @cached_property
    def backed_off(self) -> dict[str, Any]:
        """A run whose first step succeeds at its last attempt; a new version is deployed during the first wait."""
        self.tell(FLAKY, "fetch", f"fail {FAILURES} times")
        run_id = self.asking.runs.start(PIPELINE, {}, FLAKY)
        until(lambda: self.notes(FLAKY, "left") or None, PATIENCE_S, 0.05, "the first attempt")
        self.deploy()
        record = self.asking.runs.observe(PIPELINE, run_id, wait_s=None)
        began = [line for line in self.notes(FLAKY, "began") if line["step"] == "fetch"]
        left = [line for line in self.notes(FLAKY, "left") if line["step"] == "fetch"]
        waits = [round(after["at"] - before["at"], 1) for before, after in zip(left, began[1:], strict=False)]
        return {
            "ends": {"state": record.state, "attempts": len(began)},
            "waits": waits,
            "code": "old" if began[0]["code"] == began[-1]["code"] else "new",
            "process": "the same" if len({line["pid"] for line in began}) == 1 else "one of its own",
        }

    @cached_property
    def permanent(self) -> dict[str, Any]:
        """A run whose first step fails for good, and is retried where another error would be."""
        self.tell(PERMANENT, "fetch")
        record = self.run(PERMANENT)
        attempts = self.calls(PERMANENT)["fetch"]
        return {"state": record.state, "attempts": attempts, "says why": told_to_fail(record.error or "")}

    @cached_property
    def canceled_retried(self) -> Canceled:
        """A run that is canceled while a task writes that has retries."""
        return self.canceled(PIPELINE, RETRIED, "load")

    @cached_property
    def canceled_alone(self) -> Canceled:
        """The same, of a task without retries."""
        return self.canceled(TIMED, ALONE, "write")

    def canceled(self, pipeline: str, month: str, step: str) -> Canceled:
        """Cancel a run that has written its rows and not committed them; run the month again afterwards."""
        runs, schema = self.asking.runs, work.schema_of(self.asking.orchestrator)
        with self.asking.bench.held_before_publishing(schema) as loaders:
            run_id = runs.start(pipeline, {}, month)
            pid = until(lambda: loaders.waiting(month), PATIENCE_S, 0.05, f"the load of {month}")
            runs.cancel(pipeline, run_id)
            gone_s = gone_after(pid)
        # From here on, whatever goes on can commit.
        record = runs.observe(pipeline, run_id, PATIENCE_S)
        has_left = any(line["step"] == step for line in self.notes(month, "left"))
        held = self.held(month)
        again = self.asking.run(pipeline, {}, month).state
        return Canceled(record.state, gone_s, has_left, held, {"state": again, "in the table": self.held(month)})

    @cached_property
    def canceled_waiting(self) -> dict[str, Any]:
        """A run that is canceled while its task waits for a program that it has started."""
        self.tell(WAITING, "write", "wait")
        run_id = self.asking.runs.start(TIMED, {}, WAITING)
        until(lambda: self.notes(WAITING, "began") or None, PATIENCE_S, 0.05, f"the task of {WAITING}")
        pid = self.notes(WAITING, "began")[0]["pid"]
        program = until(lambda: program_of(pid), PATIENCE_S, 0.05, f"the program of {WAITING}")
        self.asking.runs.cancel(TIMED, run_id)
        gone = {
            "process gone within 30 s": gone_after(pid) is not None,
            "program gone within 30 s": gone_after(program.pid) is not None,
        }
        if program.is_running():
            program.kill()
        return {"run": self.asking.runs.observe(TIMED, run_id, PATIENCE_S).state, **gone}

    @cached_property
    def hung(self) -> str:
        """The id of a run that hangs, beyond its time-out."""
        self.tell(HUNG, "write", "hang")
        return self.asking.runs.start(TIMED, {}, HUNG)

    @cached_property
    def timed_out(self) -> dict[str, Any]:
        """What became of it."""
        record = self.asking.runs.observe(TIMED, self.hung, PATIENCE_S)
        began = self.notes(HUNG, "began")[0]
        gone_s = gone_after(began["pid"])
        is_run_again = self.is_run_again(HUNG)
        ticks = [line["at"] for line in self.notes(HUNG, "ticks") if line["pid"] == began["pid"]]
        ended = dt.datetime.fromisoformat(record.ended_at).timestamp() if record.ended_at else ticks[-1]
        # It says every 0.2 s that it hangs, so the last time may lie just before its time-out.
        late_s = max(0.0, round(ticks[-1] - began["at"] - work.TIMEOUT_S, 1))
        return {
            "state": record.state,
            "ends in time": late_s < LATE_S,
            "its finally ran": any(line["pid"] == began["pid"] for line in self.notes(HUNG, "left")),
            "process gone": gone_s is not None,
            "works on after the run's end": ticks[-1] > ended + 1,
            "run again by itself": is_run_again,
            "late_s": late_s,
        }

    def is_run_again(self, month: str) -> bool:
        """Return whether a month whose run has ended is run again by itself; if so, that run is canceled."""
        with suppress(TransientError):
            until(lambda: len(self.notes(month, "began")) > 1 or None, AGAIN_S, 0.5, f"another run of {month}")
        self.repair(month, "write")
        for run in self.asking.runs.newest(TIMED):
            if run.partition == month and not run.has_ended:
                self.asking.runs.cancel(TIMED, run.run_id)
        return len(self.notes(month, "began")) > 1


def told_to_fail(error: str) -> bool:
    """Return whether an error names its cause."""
    return "was told to fail" in error


def program_of(pid: int) -> psutil.Process | None:
    """Return the program that a task waits for, if it has started one."""
    with suppress(psutil.Error):
        return next((each for each in psutil.Process(pid).children() if work.SLEEP in " ".join(each.cmdline())), None)
    return None


def gone_after(pid: int) -> float | None:
    """Return the seconds until a process is gone; None when it is not within `GONE_S`."""
    start = time.monotonic()
    try:
        until(lambda: True if not is_alive(pid) else None, GONE_S, 0.1, f"the end of process {pid}")
    except TransientError:
        return None
    return round(time.monotonic() - start, 1)


def after_cancellation(canceled: Canceled) -> dict[str, Any]:
    """Return what is said of a run that was canceled."""
    return {
        "run": canceled.state,
        "process gone within 30 s": canceled.gone_s is not None,
        "its finally ran": canceled.has_left,
        "in the table": canceled.held,
    }


@dataclass(frozen=True)
class Case:
    """One row: what is done, which situation that is, and what is looked at."""

    what: str
    situation: str
    answer: Callable[[Any], Any]
    expected: Any = None
    how: Mapping[str, How] = field(default_factory=dict)
    in_tests: bool = False


PARENT: Mapping[str, How] = {"prefect": "emulated"}

CASES = (
    Case(
        "a backfill of January to March, in which the load of February fails", "backfilled", lambda found: found[0],
        {"2024-01": "success", "2024-02": "failed", "2024-03": "success", "says why": True,
         "in the table": ["2024-01", "2024-03"]}, PARENT,
    ),
    Case(
        "again, what has failed", "backfilled", lambda found: found[1],
        {"runs": ["2024-02"], "in the table": [*BACKFILLED]}, PARENT,
    ),
    Case("tasks called for February, in both together", "backfilled", lambda found: found[2], None, PARENT),
    Case(
        "a run that failed at its second step, retried", "from_load", lambda found: found["calls"],
        {"state": "success", "fetch": 1, "load": 2, "report": 1}, in_tests=True,
    ),
    Case(
        "a run that failed at its last step, retried", "from_report", lambda found: found["calls"],
        {"state": "success", "fetch": 1, "load": 1, "report": 2},
    ),
    Case("the run in which it is retried", "from_load", lambda found: found["run"], in_tests=True),
    Case(
        "the code of the retry, when a new version has been deployed", "from_load", lambda found: found["code"], "new",
    ),
    Case(
        "an error that passes after three attempts", "backed_off", lambda found: found["ends"],
        {"state": "success", "attempts": 1 + FAILURES},
    ),
    Case("seconds between these attempts", "backed_off", lambda found: found["waits"]),
    Case("the process of each attempt", "backed_off", lambda found: found["process"]),
    Case("the code of the last attempt, when a new version was deployed after the first", "backed_off",
         lambda found: found["code"]),
    Case(
        "an error that does not pass", "permanent", lambda found: found,
        {"state": "failed", "attempts": 1, "says why": True}, in_tests=True,
    ),
    Case(
        "canceled while it writes, in a task with retries", "canceled_retried", after_cancellation,
        {"run": "canceled", "process gone within 30 s": True, "its finally ran": True, "in the table": "nothing"},
    ),
    Case(
        "the same, in a task without retries", "canceled_alone", after_cancellation,
        {"run": "canceled", "process gone within 30 s": True, "its finally ran": True, "in the table": "nothing"},
    ),
    Case("seconds from the cancellation to the end of that process", "canceled_alone", lambda found: found.gone_s),
    Case(
        "run again after that", "canceled_alone", lambda found: found.again,
        {"state": "success", "in the table": "all of it"},
    ),
    Case(
        "canceled while it waits for a program that it has started", "canceled_waiting", lambda found: found,
        {"run": "canceled", "process gone within 30 s": True, "program gone within 30 s": True},
    ),
    Case(
        f"a run that hangs, with a time-out of {work.TIMEOUT_S} s", "timed_out",
        lambda found: {name: value for name, value in found.items() if name != "late_s"},
        {"state": "failed", "ends in time": True, "its finally ran": True, "process gone": True,
         "works on after the run's end": False, "run again by itself": False},
    ),
    Case("seconds that it works on beyond its time-out", "timed_out", lambda found: found["late_s"]),
)  # fmt: skip

SIDE_BY_SIDE = ("backfilled", "from_load", "from_report", "backed_off", "permanent")
"""Situations that may be brought about at the same time. The others hold the ledger's lock, or wait, and come after."""


def emptied(asking: Asking) -> Path:
    """Return the folder by which the tasks are told what to do, with nothing in it but the published files."""
    at = asking.bench.lab.settings
    work.folder(at).mkdir(exist_ok=True)
    for old in work.folder(at).glob("*.*"):
        old.unlink()
    sample.ensure(work.published(at), parse_months("2024-01..2024-12"), rows=ROWS)
    return work.folder(at)


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield the rows in their order, once each situation that they look at has been brought about."""
    scene = Scene(asking, emptied(asking))
    scene.deploy()
    wanted = [case for case in CASES if any(row.key["case"] == case.what for row in rows)]
    situations = dict.fromkeys(case.situation for case in wanted)
    if "timed_out" in situations:
        # It takes longest, and all of that is a wait.
        assert scene.hung
    if {"canceled_retried", "canceled_alone"} & situations.keys():
        # They need the ledger.
        scene.run(FIRST)
    by_name = {case.what: case for case in wanted}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {name: pool.submit(getattr, scene, name) for name in SIDE_BY_SIDE if name in situations}
        for row in rows:
            case = by_name[row.key["case"]]
            situation = found.get(case.situation)
            yield row, case.answer(situation.result() if situation else getattr(scene, case.situation))


QUESTION = Question(
    "recovery",
    "What is run again after a failure, from where and with which code, and what ends when it is told to end?",
    [Row({"case": case.what}, case.expected, case.how, case.in_tests) for case in CASES],
    ask,
)
