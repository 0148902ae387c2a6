"""The question: which month a run means, when a schedule fires, and what is run again."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.lab.protocol import RunRecord, Which
from core.waiting import until
from tests.publisher import Publisher
from tests.questions.asking import Answers, Asking, How, Question, Row
from tests.questions.dates import work

LONG_S = 300.0
"""How long a run or a schedule may take before something is wrong."""

FIRST_OF_MAY = "2024-05-01T00:00:00+00:00"
SPRING = ("2026-03-07T00:00:00-05:00", "2026-03-10T00:00:00-04:00")
AUTUMN = ("2026-10-31T00:00:00-04:00", "2026-11-03T00:00:00-05:00")
TOKYO = "2024-03-01T00:00:00+09:00"


def seen(record: RunRecord) -> dict[str, Any]:
    """Return how a run of one task ended, and what its task returned or why it failed."""
    if record.state != "success":
        return {"state": record.state, "error": record.error}
    return {"state": record.state, **record.tasks[0].returned}


@dataclass
class Dates:
    """One orchestrator, and the runs of this question that several rows look at."""

    asking: Asking
    turned_on: set[str] = field(default_factory=set)
    by_itself: list[RunRecord] = field(default_factory=list)
    """The runs that turning `monthly` on has started."""

    def turn_on(self, *pipelines: str) -> None:
        """Turn on the schedules of pipelines. In Airflow no run of a paused DAG starts, whoever has asked for it."""
        for pipeline in pipelines:
            if pipeline not in self.turned_on:
                self.turned_on.add(pipeline)
                self.asking.runs.schedule(pipeline, active=True)

    def turn_off(self, *pipelines: str) -> None:
        """Pause the schedules of pipelines."""
        for pipeline in pipelines:
            self.asking.runs.schedule(pipeline, active=False)
            self.turned_on.discard(pipeline)

    def ended(self, pipeline: str, run_ids: Sequence[str]) -> list[RunRecord]:
        """Return the records of runs, once they have ended."""
        return [self.asking.runs.observe(pipeline, run_id, wait_s=None) for run_id in run_ids]

    def scheduled(self, pipeline: str) -> list[RunRecord]:
        """Return the runs that a schedule has started, oldest first: not those that wait for their time."""
        newest = self.asking.runs.newest(pipeline, limit=200)
        return [run for run in newest[::-1] if run.cause == "scheduled" and run.started_at]

    def fired(self, pipeline: str) -> list[RunRecord]:
        """Return the scheduled runs of a pipeline once all have ended and no further one has come."""
        counts: list[int] = []

        def look() -> list[RunRecord] | None:
            runs = self.scheduled(pipeline)
            counts.append(len(runs))
            is_quiet = all(run.has_ended for run in runs) and counts[-2:] == [len(runs)] * 2
            return runs if is_quiet else None

        return self.ended(pipeline, [run.run_id for run in until(look, LONG_S, 1, f"the end of {pipeline}'s runs")])

    # ------------------------------------------------ which month

    @cached_property
    def monthly(self) -> RunRecord:
        """A run of January that somebody has started by hand, while the schedule is on."""
        self.turn_on("monthly")
        record = self.asking.run("monthly", {}, "2024-01")
        # Before anybody asks for past dates: those runs are the schedule's as well.
        self.by_itself = self.fired("monthly")
        return record

    def by_hand(self) -> Any:
        return seen(self.monthly)

    def by_hand_without(self) -> Any:
        self.turn_on("monthly")
        return seen(self.asking.run("monthly", {}))

    def this_month(self) -> Any:
        self.turn_on("monthly")
        month = f"{dt.datetime.now(dt.UTC):%Y-%m}"
        try:
            return {"its month": seen(self.asking.run("monthly", {}, month)).get("month") == month}
        except UsageError:
            return "refused"

    @cached_property
    def of_the_tick(self) -> list[RunRecord]:
        """The runs of 1 May, a date of the schedule that is in the past."""
        assert self.monthly
        return self.ended("monthly", self.asking.runs.catch_up("monthly", FIRST_OF_MAY, FIRST_OF_MAY))

    def past_date(self) -> Any:
        return [seen(run) for run in self.of_the_tick]

    def past_date_again(self) -> Any:
        assert self.of_the_tick
        again = self.asking.runs.catch_up("monthly", FIRST_OF_MAY, FIRST_OF_MAY)
        self.ended("monthly", again)
        return {"runs": len(again)}

    def interval_by_hand(self) -> Any:
        self.turn_on("by_interval")
        run_id = self.asking.runs.start("by_interval", {}, at=FIRST_OF_MAY)
        return seen(self.ended("by_interval", [run_id])[0])

    def interval_past_date(self) -> Any:
        self.turn_on("by_interval")
        # The run of this date by hand would be in its way.
        june = FIRST_OF_MAY.replace("-05-", "-06-")
        return [seen(run) for run in self.ended("by_interval", self.asking.runs.catch_up("by_interval", june, june))]

    def tokyo(self) -> Any:
        self.turn_on("tokyo")
        assert self.clock
        runs = self.fired("tokyo") or self.ended("tokyo", self.asking.runs.catch_up("tokyo", TOKYO, TOKYO))
        return [seen(run) for run in runs]

    # ------------------------------------------------ when

    @cached_property
    def paused(self) -> str:
        """How a run ends that is started by hand while its schedule is paused: ``queued`` when it never starts."""
        run_id = self.asking.runs.start("clock", {})
        # Another run, started later, ends: the first one is not held back by a lack of time.
        assert self.asking.run("monthly", {}, "2024-02").has_ended if self.monthly else None

        def look() -> str | None:
            record = self.asking.runs.observe("clock", run_id)
            return record.state if record.has_ended or record.state == "queued" else None

        return until(look, LONG_S, 1, "the run of a paused pipeline")

    def by_hand_while_paused(self) -> Any:
        return {"state": self.paused}

    @cached_property
    def clock(self) -> RunRecord:
        """A run that a schedule has really started. All other schedules are turned on before it."""
        assert self.paused
        self.turn_on("spring", "autumn", "tokyo", "clock")

        def look() -> RunRecord | None:
            return next((run for run in self.scheduled("clock") if run.has_ended), None)

        first = until(look, LONG_S, 1, "a scheduled run")
        self.turn_off("clock")
        return self.ended("clock", [first.run_id])[0]

    def fires(self) -> Any:
        at = dt.datetime.fromisoformat(seen(self.clock)["at"])
        late = dt.datetime.fromisoformat(str(self.clock.started_at)) - at
        # Prefect's worker takes a run before its time; warm, it then starts up to a second early.
        on_time = late >= dt.timedelta(seconds=-1)
        return {"state": self.clock.state, "cause": self.clock.cause, "after its time": on_time}

    def extra_run(self) -> Any:
        assert self.monthly
        runs = self.by_itself
        last = work.month_before(dt.datetime.now(dt.UTC))
        found = {"runs": len(runs)}
        return {**found, "of the last complete month": seen(runs[0])["month"] == last} if runs else found

    def caught_up(self) -> Any:
        assert self.clock
        return {"runs": len(self.fired("spring"))}

    def dates_of(self, pipeline: str, since: str, end: str) -> Any:
        """Return the instants, in UTC, of a schedule's dates: those that it has caught up with, or been asked for."""
        assert self.clock
        runs = self.fired(pipeline) or self.ended(pipeline, self.asking.runs.catch_up(pipeline, since, end))
        instants = [dt.datetime.fromisoformat(seen(run)["at"]).astimezone(dt.UTC) for run in runs]
        return [f"{at:%d %b %H:%M}" for at in sorted(instants)]

    # ------------------------------------------------ late, and again

    def late(self) -> Any:
        folder, name = self.asking.bench.copy_of(self.asking.bench.folder), "green_tripdata_2024-03.parquet"
        shutil.move(folder / name, folder / f"{name}.not-yet")
        with Publisher(folder) as site:
            run_id = self.asking.runs.start("not_yet", {"url": site.url}, "2024-03")
            until(lambda: site.count("2024-03") >= 2 or None, LONG_S, 0.2, "two looks at the publisher")
            held = all(self.has_process(run_id) for _ in range(6))
            shutil.move(folder / f"{name}.not-yet", folder / name)
            record = self.ended("not_yet", [run_id])[0]
        return {"state": record.state, "holds a process": held}

    def has_process(self, run_id: str) -> bool:
        """Return whether a process executes the run just now."""
        return any(each.record.run_id == run_id for each in self.asking.runs.processes())

    @cached_property
    def newest(self) -> list[dict[str, Any]]:
        """What two runs of `latest` loaded. Between them April was published, and March was published again."""
        bench, folder = self.asking.bench, work.folder(self.asking.bench.lab.settings)
        folder.mkdir(exist_ok=True)
        publish(bench.folder, folder, "2024-02", "2024-03")
        self.turn_on("latest")
        of_may = self.ended("latest", self.asking.runs.catch_up("latest", FIRST_OF_MAY, FIRST_OF_MAY))
        publish(bench.folder, folder, "2024-04")
        bench.replace(folder, "2024-03")
        june = FIRST_OF_MAY.replace("-05-", "-06-")
        return [seen(run) for run in of_may + self.ended("latest", self.asking.runs.catch_up("latest", june, june))]

    def again(self, which: Which, first: str, last: str) -> list[str]:
        """Backfill the months of a range that are wanted, and return those that were run."""
        months = [f"2024-{number:02d}" for number in range(int(first), int(last) + 1)]
        self.turn_on("monthly")
        return [each.month for each in self.asking.backfill("monthly", months, {}, which).months]

    @cached_property
    def backfilled(self) -> list[dict[str, Any]]:
        """A backfill of June to August, in which July fails."""
        folder = work.folder(self.asking.bench.lab.settings)
        folder.mkdir(exist_ok=True)
        (folder / "2024-07.broken").touch()
        self.turn_on("monthly")
        done = self.asking.backfill("monthly", ["2024-06", "2024-07", "2024-08"], {})
        (folder / "2024-07.broken").unlink()
        return [{"asked": each.month, "state": each.state, "month": each.tasks[0].returned} for each in done.months]

    def backfill(self) -> Any:
        months = [(each["month"] or {}).get("month") for each in self.backfilled]
        return [{"state": each["state"], "month": month} for each, month in zip(self.backfilled, months, strict=True)]

    @cached_property
    def missing(self) -> list[str]:
        assert self.backfilled
        return self.again("missing", "06", "09")

    @cached_property
    def failed(self) -> list[str]:
        assert self.missing
        return self.again("failed", "06", "10")

    def all_again(self) -> Any:
        assert self.backfilled
        return self.again("all", "06", "07")


def publish(source: Path, folder: Path, *months: str) -> None:
    """Copy the files of months into a folder."""
    for month in months:
        shutil.copy(source / f"green_tripdata_{month}.parquet", folder)


@dataclass(frozen=True)
class Case:
    """One row: what is done, the right answer, and how it is asked."""

    what: str
    answer: Callable[[Dates], Any]
    expected: Any = None
    how: Mapping[str, How] = field(default_factory=dict)
    in_tests: bool = False


def month(text: str) -> dict[str, str]:
    """Return what a run says that worked on this month."""
    return {"state": "success", "month": text}


def failed(error: str) -> dict[str, str]:
    """Return what a run says that failed with this error."""
    return {"state": "failed", "error": error}


BACKFILLED = [month("2024-06"), {"state": "failed", "month": None}, month("2024-08")]
EMULATED: Mapping[str, How] = {"dagster": "emulated", "prefect": "emulated"}
PARENT: Mapping[str, How] = {"prefect": "emulated"}

CASES = (
    Case("by hand, with the month 2024-01", Dates.by_hand, month("2024-01"), in_tests=True),
    Case("by hand, without a month", Dates.by_hand_without, failed(work.NO_MONTH)),
    Case("by hand, with the month that has just begun", Dates.this_month),
    Case("a backfill of 2024-06 to 2024-08, in which July fails", Dates.backfill, BACKFILLED, PARENT),
    Case("the past date 2024-05-01 of a monthly schedule", Dates.past_date, [month("2024-04")]),
    Case("the same past date, asked for again", Dates.past_date_again, {"runs": 0}),
    Case(
        "by hand for the date 2024-05-01, the month of the interval before it", Dates.interval_by_hand,
        {**month("2024-04"), "date": "2024-05"},
    ),
    Case(
        "the past date 2024-06-01 of the same", Dates.interval_past_date,
        [{**month("2024-05"), "date": "2024-06"}],
    ),
    Case(
        "the first of March in Tokyo, 15:00 UTC on 29 February", Dates.tokyo,
        [{**month("2024-02"), "by the date as it comes": "2024-02"}],
    ),
    Case(
        "a schedule that is on", Dates.fires,
        {"state": "success", "cause": "scheduled", "after its time": True},
    ),
    Case("by hand, while the schedule is paused", Dates.by_hand_while_paused, {"state": "success"}),
    Case("turned on, without catch-up: runs of dates that have passed", Dates.extra_run, {"runs": 0}),
    Case("turned on, with catch-up: runs of three dates that have passed", Dates.caught_up, {"runs": 3}),
    Case("02:30 in New York, 7 to 9 March 2026, in UTC", lambda dates: dates.dates_of("spring", *SPRING)),
    Case(
        "01:30 in New York, 31 October to 2 November 2026, in UTC",
        lambda dates: dates.dates_of("autumn", *AUTUMN),
    ),
    Case(
        "a month that is not published yet", Dates.late,
        {"state": "success", "holds a process": False},
    ),
    Case(
        "the schedule's run of 1 May: the last three months, April is late", lambda dates: dates.newest[0],
        {"state": "success", "2024-02": "success", "2024-03": "success", "2024-04": "not yet"},
    ),
    Case(
        "its run of 1 June: April is there, March was published again", lambda dates: dates.newest[1],
        {"state": "success", "2024-03": "success", "2024-04": "success", "2024-05": "not yet"},
    ),
    Case("again, what is missing: June to September", lambda dates: dates.missing, ["2024-09"], EMULATED),
    Case("again, what has failed: June to October", lambda dates: dates.failed, ["2024-07"], EMULATED),
    Case("again, all: June and July", Dates.all_again, ["2024-06", "2024-07"], PARENT),
)  # fmt: skip


@contextmanager
def opened(asking: Asking) -> Iterator[Dates]:
    """Open the question to one orchestrator; at the end, all of its schedules are off."""
    dates = Dates(asking)
    try:
        yield dates
    finally:
        dates.turn_off(*list(dates.turned_on))


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Ask the rows in the order in which they stand: some look at runs of those before them."""
    by_name = {case.what: case for case in CASES}
    with opened(asking) as dates:
        for row in rows:
            yield row, by_name[row.key["case"]].answer(dates)


QUESTION = Question(
    name="dates",
    title="Which month does a run mean, when does a schedule fire, and what is run again?",
    rows=[Row({"case": case.what}, case.expected, case.how, case.in_tests) for case in CASES],
    ask=ask,
)
