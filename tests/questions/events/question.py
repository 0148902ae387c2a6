"""Event-driven chaining, observed: which refreshes there are after some ingests, and how soon they start."""

from __future__ import annotations

import datetime as dt
import os
import signal
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from core.errors import PermanentError, TransientError
from core.extract import sample
from core.lab.protocol import RunRecord, RunState
from core.lab.registry import BASELINE
from core.month import parse_months
from core.waiting import until
from tests.contract.bench import ROWS, is_alive
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.events.pipelines import BATCH
from tests.questions.events.work import schema_of

INGEST, REFRESH, REFRESH_BATCH = "ingest_taxi_data", "refresh_fct_trips", "refresh_batch"

FIRST, UNCHANGED, LAST = "2024-04", "2024-09", "2024-10"
"""Months with a part of their own. `FIRST` is ingested until a refresh follows. `UNCHANGED` is loaded beforehand. Each
round of ingests ends with one of `LAST`: when its refresh has ended, no refresh of an earlier ingest is to come."""

TIMED = [*map(str, parse_months("2021-01..2022-08"))]
"""The months whose latencies are measured."""

PATIENCE_S = 600.0
POLL_S = 0.5

BOUNDS = {
    "airflow": "the scheduler's loop: scheduler_idle_sleep_time, here 0.1 s, by default 1 s",
    "dagster": "the daemon's look at conditions: every 5 s, a constant, or minimum_interval_seconds if that is longer, "
    "by default 30 s; then the run queue's, here 0.5 s, by default 5 s",
    "prefect": "the worker's look for runs: PREFECT_WORKER_QUERY_SECONDS, here 0.25 s, by default 10 s",
}
"""The polling interval that bounds the latency, by orchestrator."""


class Chain:
    """The pipelines of one orchestrator, with tables to start from; the chain has been seen to react."""

    def __init__(self, asking: Asking) -> None:
        self.asking, self.bench = asking, asking.bench
        self.schema, self.folder = schema_of(asking.orchestrator), asking.bench.work / "events"
        sample.ensure(self.folder, parse_months(f"{TIMED[0]}..{LAST}"), rows=ROWS)
        # This loads the zones too, and makes the ledger, which can then be locked.
        self.bench.backfill(BASELINE, [UNCHANGED], self.folder, self.schema)
        # The first tick of Dagster's sensor only takes note of what is there: an event before it starts nothing.
        before = self.ids()
        until(lambda: self.reacts(before), PATIENCE_S, 0, "the first refresh")

    def reacts(self, before: set[str]) -> bool | None:
        """Ingest a month, and return whether a refresh follows within half a minute."""
        self.ingest(FIRST, force=True)
        try:
            return until(lambda: bool(self.ids() - before) or None, 30, POLL_S, "a refresh")
        except TransientError:
            return None

    def start(self, month: str, **parameters: Any) -> str:
        """Start an ingest, and return the run's id."""
        return self.asking.runs.start(INGEST, {"source": str(self.folder), **parameters}, month)

    def ingest(self, month: str, **parameters: Any) -> None:
        """Run an ingest to its end."""
        self.end(self.start(month, **parameters), "failed" if parameters.get("fail") else "success")

    def ended_run(self, run_id: str) -> RunRecord:
        """Return the record of an ingest once it has ended, in whatever way."""
        return self.asking.runs.observe(INGEST, run_id, wait_s=None)

    def end(self, run_id: str, expected: RunState = "success") -> None:
        """Wait for the end of an ingest; raise `PermanentError` when it is not the expected one."""
        record = self.ended_run(run_id)
        if record.state != expected:
            raise PermanentError(f"the ingest of {record.partition} ended as {record.state}: {record.error}")

    def ids(self, pipeline: str = REFRESH) -> set[str]:
        """Return the ids of all refreshes so far."""
        return {run.run_id for run in self.asking.runs.newest(pipeline, limit=500)}

    def ended(self, before: set[str], months: Sequence[str] = (LAST,)) -> list[RunRecord] | None:
        """Return the new refreshes, once there is one of each of `months` and all have ended."""
        found = self.new(before)
        is_over = {run.partition for run in found} >= set(months) and all(run.has_ended for run in found)
        return found if is_over else None

    def new(self, before: set[str], pipeline: str = REFRESH) -> list[RunRecord]:
        """Return the refreshes that were not there before."""
        return [run for run in self.asking.runs.newest(pipeline, limit=500) if run.run_id not in before]

    def round(self, cases: Sequence[Case]) -> list[RunRecord]:
        """Run the ingests of some cases, and a last one; return the refreshes because of them."""
        before = self.ids()
        for case in cases:
            case.ingest(self, *case.months)
        self.ingest(LAST, force=True)
        return until(lambda: self.ended(before), PATIENCE_S, POLL_S, "the refresh after the last ingest")

    def committed(self, month: str) -> dt.datetime | None:
        """Return when the month was published."""
        entry = self.bench.ledger(self.schema).get(month)
        return entry.loaded_at if entry else None


def one(chain: Chain, month: str) -> None:
    """Ingest a month."""
    chain.ingest(month, force=True)


def fails_before(chain: Chain, month: str) -> None:
    """Fail with nothing published."""
    chain.ingest(month, force=True, fail="before the commit")


def fails_after(chain: Chain, month: str) -> None:
    """Publish a month, and fail then."""
    chain.ingest(month, force=True, fail="after the commit")


def unchanged(chain: Chain, month: str) -> None:
    """Ingest a month that is loaded already."""
    chain.ingest(month)


def runs_again(chain: Chain, month: str) -> None:
    """Publish a month, fail then, and run again: the second run finds its month loaded."""
    fails_after(chain, month)
    unchanged(chain, month)


def two_at_once(chain: Chain, *months: str) -> None:
    """Hold two ingests in the middle of their transactions: then both commit within milliseconds."""
    with chain.bench.held_before_publishing(chain.schema) as held:
        started = [chain.start(month, force=True) for month in months]
        until(lambda: all(map(held.waiting, months)) or None, PATIENCE_S, 0.05, "two ingests before their commits")
    for run_id in started:
        chain.end(run_id)


def dead_at_the_commit(chain: Chain, month: str) -> None:
    """Kill what watches for events while the ingest waits with its transaction open; it starts again afterwards."""
    before = chain.committed(month)
    with chain.bench.held_before_publishing(chain.schema) as held:
        run_id = chain.start(month, force=True)
        watcher = pids_of_the_watcher(chain)
        until(lambda: held.waiting(month), PATIENCE_S, 0.05, "an ingest before its commit")
        kill(watcher)
    until(lambda: chain.committed(month) != before or None, PATIENCE_S, 0.01, "the commit")
    # The next call of the protocol starts again what has died.
    chain.ended_run(run_id)


def killed_after_the_commit(chain: Chain, month: str) -> None:
    """Kill what watches for events as soon as the commit can be seen."""
    watcher, before = pids_of_the_watcher(chain), chain.committed(month)
    run_id = chain.start(month, force=True)
    until(lambda: chain.committed(month) != before or None, PATIENCE_S, 0.01, "the commit")
    kill(watcher)
    chain.ended_run(run_id)


def pids_of_the_watcher(chain: Chain) -> list[int]:
    """Return the processes that make runs of events: the scheduler's, the daemon's, or else the server's."""
    by_role = {each.record.role: each.record.pid for each in reversed(chain.asking.runs.processes())}
    if role := next((role for role in ("scheduler", "daemon") if role in by_role), None):
        # A scheduler's children are the workers that run tasks.
        return [by_role[role]]
    server = psutil.Process(by_role["API"])
    return [server.pid, *(child.pid for child in server.children(recursive=True))]


def kill(pids: Sequence[int]) -> None:
    """End processes with SIGKILL; return when they are gone."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)) or None, 30, 0.02, "the end of the killed processes")


@dataclass(frozen=True)
class Case:
    """Some ingests of months that no other case of its round has, and the row that asks what follows."""

    row: Row
    months: Sequence[str]
    ingest: Callable[..., None]


def row(case: str, variant: str, expected: Any, *, in_tests: bool = False) -> Row:
    """Return a row on what an event starts."""
    return Row({"about": "refreshes", "case": case, "variant": variant}, expected, in_tests=in_tests)


def measured(case: str) -> Row:
    """Return a row on how long it takes from the commit of a month."""
    return Row({"about": "latency", "case": case, "variant": ""})


def refreshed(*months: str) -> dict[str, Any]:
    """Return the answer when there was one refresh for each of `months`."""
    return {"refreshes": len(months), "months": list(months)}


EACH = row("seven ingests", "a refresh for each", refreshed(*BATCH))
TOGETHER = row("seven ingests", "one refresh for all", {"refreshes": 1})

ROUNDS = (
    (
        Case(row("one ingest", "", refreshed("2024-01"), in_tests=True), ["2024-01"], one),
        Case(row("failed ingest", "before the commit", refreshed(), in_tests=True), ["2024-02"], fails_before),
    ),
    (
        Case(row("failed ingest", "after the commit", refreshed()), ["2024-03"], fails_after),
        Case(row("failed ingest", "after the commit, and run again", refreshed("2024-05")), ["2024-05"], runs_again),
        Case(row("unchanged ingest", "", refreshed(UNCHANGED)), [UNCHANGED], unchanged),
        Case(
            row("two ingests", "in the same second", refreshed("2024-06", "2024-07")),
            ["2024-06", "2024-07"],
            two_at_once,
        ),
    ),
    (Case(row("restart", "dead at the commit", refreshed("2024-08")), ["2024-08"], dead_at_the_commit),),
    (Case(row("restart", "killed after the commit", refreshed("2024-08")), ["2024-08"], killed_after_the_commit),),
)
"""What is asked, in the order in which it is; the ingests of a round share the last one, which takes time."""

LATENCIES = {
    "created_at": measured("until the refresh is created"),
    "started_at": measured("until the refresh starts"),
    "task": measured("until its first task starts"),
}
BOUND = measured("what bounds it")


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Ask some of the rows."""
    chain = Chain(asking)
    for cases in ROUNDS:
        if chosen := [case for case in cases if case.row in rows]:
            refreshes = chain.round(chosen)
            yield from ((case.row, answer(refreshes, case.months)) for case in chosen)
    if EACH in rows or TOGETHER in rows:
        yield from (found for found in seven(chain) if found[0] in rows)
    if BOUND in rows:
        yield BOUND, BOUNDS[asking.orchestrator]
    if any(each in rows for each in LATENCIES.values()):
        yield from (found for found in latencies(chain) if found[0] in rows)


def answer(refreshes: Sequence[RunRecord], months: Sequence[str]) -> dict[str, Any]:
    """Return how many refreshes there were of `months` because of an event, and of which."""
    found = [run.partition for run in refreshes if run.partition in months and run.cause == "event"]
    return {"refreshes": len(found), "months": sorted(map(str, found))}


def seven(chain: Chain) -> Answers:
    """Start seven ingests at once: each has a refresh, and all of them together have one more."""
    each, batch = chain.ids(), chain.ids(REFRESH_BATCH)
    for run_id in [chain.start(month, force=True) for month in BATCH]:
        chain.end(run_id)
    chain.ingest(LAST, force=True)
    refreshes = until(lambda: chain.ended(each), PATIENCE_S, POLL_S, "the refreshes of seven months")
    yield EACH, answer(refreshes, BATCH)
    together = until(lambda: chain.new(batch, REFRESH_BATCH) or None, PATIENCE_S, POLL_S, "the refresh for all")
    yield TOGETHER, {"refreshes": sum(run.cause == "event" for run in together)}


def latencies(chain: Chain) -> Answers:
    """Ingest a month as soon as the one before is published, and measure from each commit to its refresh."""
    before = chain.ids()
    for month in TIMED:
        chain.start(month, force=True)
        until(lambda month=month: chain.committed(month), PATIENCE_S, 0.05, f"the commit of {month}")  # type: ignore[misc]
    refreshes = until(lambda: chain.ended(before, months=TIMED), PATIENCE_S, POLL_S, "the refreshes of all months")
    found = [latency(chain, run) for run in refreshes if run.partition in TIMED]
    for name, asked in LATENCIES.items():
        yield asked, figure([each[name] for each in found])


def latency(chain: Chain, refresh: RunRecord) -> dict[str, float]:
    """Return the seconds from the commit of a month to each of the times of its refresh."""
    record, commit = chain.asking.runs.observe(REFRESH, refresh.run_id), chain.committed(str(refresh.partition))
    times = {"created_at": record.created_at, "started_at": record.started_at, "task": record.tasks[0].started_at}
    return {name: seconds(commit, time) for name, time in times.items()}


def seconds(start: dt.datetime | None, end: str | None) -> float:
    """Return the seconds between two times."""
    assert start is not None
    assert end is not None
    return (dt.datetime.fromisoformat(end) - start).total_seconds()


def figure(values: Sequence[float]) -> dict[str, Any]:
    """Return what is told of some latencies in seconds."""
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    return {"n": len(values), "median_s": round(statistics.median(values), 2), "p95_s": round(p95, 2)}


def same(recorded: Any, found: Any) -> bool:
    """Return whether two answers agree: of figures, only the names."""
    if isinstance(found, dict) and "median_s" in found:
        return isinstance(recorded, dict) and recorded.keys() == found.keys()
    return bool(recorded == found)


QUESTION = Question(
    name="events",
    title="Does the refresh run because of the ingest: once for each, for its month, and across a restart?",
    rows=[*(case.row for cases in ROUNDS for case in cases), EACH, TOGETHER, *LATENCIES.values(), BOUND],
    ask=ask,
    same=same,
)
