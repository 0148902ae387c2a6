"""What a pipeline that depends on another one does when that fails, is late, runs again, or is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from core.errors import TransientError
from core.lab.protocol import RunRecord
from core.waiting import until
from tests.questions.asking import Answers, Asking, How, Question, Row
from tests.questions.dependencies import work
from tests.questions.dependencies.pipelines import UPSTREAM, WAYS

PATIENCE_S = 240.0
"""How long anything that must happen may take, on a busy machine."""

WAITS_S = 30.0
"""How long to look at a run that has begun, and may wait for ever: it looks for the upstream run every second, or every
five."""

SAMPLES, SAMPLED_S = 3, 15.0
"""How often to look at the processes of runs that wait, and for how long, at least: what is always there, is held."""

POLLS, PASSIVE = ("poll", "poll deferred"), ("push", "event")

MONTHS = {
    "fails": "2023-02",
    "is late": "2023-03",
    "is run again": "2023-04",
    "is deleted": "2023-05",
    "has no date": "2023-12",
    "succeeds": "2023-06",
}
"""The month of each case. When the builds of the last one are there, no build of an earlier one is to come."""

WARM_UP, CALLS = "2023-01", {"succeeds": "2023-08", "fails": "2023-07"}

HELD = ("2023-09", "2023-10")
"""Months that are awaited together."""

AT_ONCE = 3
"""How many cases, or runs, to start at a time: most of their time they wait."""

Key = tuple[str, str]
"""A way, and what the upstream run does."""

OUTCOMES = {
    "failed": "fails",
    "skipped": "is skipped",
    "canceled": "is canceled",
    "running": "waits",
    "queued": "waits",
}


@dataclass(frozen=True)
class Started:
    """A downstream run that a person has started."""

    asking: Asking
    way: str
    run_id: str

    def record(self, wait_s: float | None = 0.0) -> RunRecord:
        """Return its record."""
        return self.asking.runs.observe(WAYS[self.way], self.run_id, wait_s)

    def begin(self) -> RunRecord:
        """Return its record once its first task has begun: it waits, or knows that it need not."""

        def look() -> RunRecord | None:
            record = self.record()
            return record if any(task.started_at for task in record.tasks) else None

        return until(look, PATIENCE_S, 0.5, f"the first task of {WAYS[self.way]}")

    def cancel(self) -> None:
        """Cancel it, and wait for its end."""
        self.asking.runs.cancel(WAYS[self.way], self.run_id)
        self.record(PATIENCE_S)


def is_passive(asking: Asking, way: str) -> bool:
    """Return whether nobody starts the downstream run by hand. For Dagster's sensor, polling is that too."""
    return way in PASSIVE or (asking.orchestrator, way) == ("dagster", "poll deferred")


def emptied(folder: Path) -> Path:
    """Return the folder by which the tasks are told what to do, and tell what they have done, without files."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return folder


@dataclass
class Scene:
    """The pipelines of one orchestrator."""

    asking: Asking
    folder: Path
    published: dict[str, str] = field(default_factory=dict)
    """The newest upstream run of each month, by its id."""

    def start(self, pipeline: str, month: str) -> str:
        """Start a run of a month. In Airflow it has a date too: `ExternalTaskSensor` finds a run by nothing else."""
        has_date = self.asking.orchestrator == "airflow" and month != MONTHS["has no date"]
        at = f"{month}-01T00:00:00+00:00" if has_date else None
        return self.asking.runs.start(pipeline, {}, month, at)

    def publish(self, month: str) -> None:
        """Run the upstream pipeline to its end."""
        # Airflow has one run for a date. A person would clear it, so that it runs again.
        if month in self.published and self.asking.orchestrator == "airflow":
            self.delete(month)
        self.published[month] = self.start(UPSTREAM, month)
        self.asking.runs.observe(UPSTREAM, self.published[month], wait_s=None)

    def delete(self, month: str) -> None:
        """Delete the upstream run."""
        self.asking.runs.delete(UPSTREAM, self.published[month])

    def follow(self, ways: Iterable[str], month: str) -> list[Started]:
        """Start a downstream run in each of the ways."""
        return [Started(self.asking, way, self.start(WAYS[way], month)) for way in ways]

    def builds(self, way: str, month: str) -> int:
        """Return how often the month was built: by runs for which the month has arrived."""
        path = self.folder / f"{WAYS[way]}.built"
        return path.read_text().split().count(month) if path.exists() else 0

    def are_built(self, month: str, ways: Sequence[str] = (), within_s: float = PATIENCE_S) -> None:
        """Return when the month has been built in each of the ways, and in those in which nobody starts a run."""
        ways = [way for way in WAYS if way in ways or is_passive(self.asking, way)]
        until(lambda: all(self.builds(way, month) for way in ways) or None, within_s, 0.5, f"the builds of {month}")

    def outcome(self, way: str, month: str, state: str) -> str:
        """Return what the downstream pipeline did with a month, if its run is in this state."""
        return {1: "builds once", 2: "builds twice"}.get(self.builds(way, month)) or OUTCOMES[state]

    def passive(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return what the pipelines did whose runs nobody started, once these have ended."""

        def look() -> list[RunRecord] | None:
            runs = [run for run in self.asking.runs.newest(limit=500) if run.partition in MONTHS.values()]
            return runs if all(run.has_ended for run in runs) else None

        runs = {(run.pipeline, run.partition): run for run in until(look, PATIENCE_S, 0.5, "the end of all runs")}
        found = {(way, case): runs.get((WAYS[way], MONTHS[case])) for way, case in keys}
        return {
            (way, case): self.outcome(way, MONTHS[case], run.state) if run else "does not run"
            for (way, case), run in found.items()
        }


def warm_up(scene: Scene) -> None:
    """Publish a month until the passive pipelines build it: the first look of a sensor of Dagster starts nothing."""

    def reacts() -> bool | None:
        scene.publish(WARM_UP)
        with suppress(TransientError):
            scene.are_built(WARM_UP, within_s=30)
            return True
        return None

    until(reacts, PATIENCE_S, 0, "the first builds")


def succeeds(scene: Scene, month: str, ways: Sequence[str]) -> list[Started]:
    """Publish, and follow."""
    scene.publish(month)
    return scene.follow(ways, month)


def fails(scene: Scene, month: str, ways: Sequence[str]) -> list[Started]:
    """Fail to publish, and follow."""
    (scene.folder / f"{month}.broken").touch()
    return succeeds(scene, month, ways)


def is_late(scene: Scene, month: str, ways: Sequence[str]) -> list[Started]:
    """Follow, and publish when all of them wait."""
    started = scene.follow(ways, month)
    for each in started:
        each.begin()
    scene.publish(month)
    return started


def is_run_again(scene: Scene, month: str, ways: Sequence[str]) -> list[Started]:
    """Publish, follow, and publish again when all is built."""
    started = succeeds(scene, month, ways)
    scene.are_built(month, ways)
    scene.publish(month)
    return started


def is_deleted(scene: Scene, month: str, ways: Sequence[str]) -> list[Started]:
    """Publish, delete the run, and follow."""
    scene.publish(month)
    scene.are_built(month)
    scene.delete(month)
    return scene.follow(ways, month)


CASES: Mapping[str, Callable[[Scene, str, Sequence[str]], list[Started]]] = {
    "succeeds": succeeds,
    "fails": fails,
    "is late": is_late,
    "is run again": is_run_again,
    "is deleted": is_deleted,
    "has no date": succeeds,
}

FOREVER = ("is deleted", "has no date")
"""The cases in which a run may wait for ever."""


def followed(scene: Scene, upstream: str, ways: Sequence[str]) -> dict[str, str]:
    """Return what the runs do that a person starts, in one case. One that waits for ever is canceled."""
    month = MONTHS[upstream]
    started, found = CASES[upstream](scene, month, ways), {}
    patience_s = WAITS_S if upstream in FOREVER else PATIENCE_S
    for each in started:
        # A run that has not begun does not wait for the upstream one.
        each.begin()
        record = each.record(patience_s)
        found[each.way] = scene.outcome(each.way, month, record.state)
        if not record.has_ended:
            each.cancel()
            # The next one has waited as long.
            patience_s = 0
    return found


def called(scene: Scene, upstream: str) -> str:
    """Return what a run does that starts the upstream one and waits for it."""
    month = CALLS[upstream]
    if upstream == "fails":
        (scene.folder / f"{month}.broken").touch()
    (run,) = scene.follow(["call"], month)
    return scene.outcome("call", month, run.record(PATIENCE_S).state)


def always(look: Callable[[], set[str | None]]) -> set[str | None]:
    """Return what is there each time."""
    end, samples = time.monotonic() + SAMPLED_S, [look()]
    while len(samples) < SAMPLES or time.monotonic() < end:
        samples.append(look())
    return set.intersection(*samples)


def held(scene: Scene, ways: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many runs wait for months that are not published, and how many of them hold a process all the time."""
    marks = [scene.folder / f"{month}.held" for month in HELD]
    for mark in marks:
        mark.touch()
    by_hand = [way for way in ways if not is_passive(scene.asking, way)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [run for runs in pool.map(partial(scene.follow, by_hand), HELD) for run in runs]
        waiting = {record.run_id for record in pool.map(Started.begin, started) if not record.has_ended}
    holding = always(lambda: {each.record.run_id for each in scene.asking.runs.processes()})
    for mark in marks:
        mark.unlink()
    for each in started:
        each.record(PATIENCE_S) if each.way == "call" else each.cancel()
    found = {way: waiting & {each.run_id for each in started if each.way == way} for way in ways}
    return {way: {"runs that wait": len(runs), "processes": len(runs & holding)} for way, runs in found.items()}


EXPECTED: Mapping[str, Mapping[str, str]] = {
    "succeeds": dict.fromkeys(WAYS, "builds once"),
    "fails": {"push": "does not run", "call": "fails", "poll": "fails", "event": "does not run"},
    "is late": dict.fromkeys((*POLLS, *PASSIVE), "builds once"),
    "is run again": {**dict.fromkeys(PASSIVE, "builds twice"), "poll": "builds once"},
    "is deleted": dict.fromkeys(PASSIVE, "builds once"),
    "has no date": dict.fromkeys(POLLS, "builds once"),
}

HOW: Mapping[str, Mapping[str, How]] = {
    "push": {"dagster": "emulated"},
    "call": {"dagster": "emulated"},
    "poll": {"dagster": "emulated", "prefect": "emulated"},
    "poll deferred": {"prefect": "emulated"},
    "event": {},
}

IN_TESTS = (("call", "fails"), ("poll", "succeeds"))


def row(part: str, way: str, upstream: str) -> Row:
    """Return the row on one way and one case."""
    expected = EXPECTED.get(upstream, {}).get(way)
    return Row({"part": part, "way": way, "upstream": upstream}, expected, HOW[way], (way, upstream) in IN_TESTS)


ASKED = {way: [case for case in CASES if case != "has no date"] for way in PASSIVE} | {way: [*CASES] for way in POLLS}

OUTCOME = {
    (way, upstream): row("outcome", way, upstream) for way in WAYS for upstream in ({"call": [*CALLS]} | ASKED)[way]
}
HOLDS = {way: row("held", way, "is awaited by 2 runs") for way in ("call", *POLLS)}


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Ask some of the rows: case by case, some at a time."""
    scene = Scene(asking, emptied(work.folder(asking.bench.lab.settings)))
    wanted = {key: each for key, each in OUTCOME.items() if each in rows}
    by_itself = {key: each for key, each in wanted.items() if is_passive(asking, key[0])}
    if by_itself:
        warm_up(scene)

    def answers(upstream: str) -> dict[Key, str]:
        ways = [way for way, case in wanted.keys() - by_itself.keys() if case == upstream]
        found = {("call", upstream): called(scene, upstream)} if "call" in ways else {}
        polls = [way for way in ways if way != "call"]
        if polls or by_itself:
            found |= {(way, upstream): text for way, text in followed(scene, upstream, polls).items()}
        return found

    *others, last = MONTHS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [*pool.map(answers, others), answers(last)]
    yield from ((wanted[key], text) for each in found for key, text in each.items())
    if by_itself:
        scene.are_built(MONTHS[last])
        yield from ((by_itself[key], text) for key, text in scene.passive(by_itself).items())
    if ways := [way for way, each in HOLDS.items() if each in rows]:
        yield from ((HOLDS[way], figures) for way, figures in held(scene, ways).items())


QUESTION = Question(
    "dependencies",
    "How does one pipeline wait for another one, and what if that fails, is late, runs again, or is deleted?",
    [*OUTCOME.values(), *HOLDS.values()],
    ask,
)
