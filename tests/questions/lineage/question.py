"""What does a catalog learn of one month from the producer that others publish for an orchestrator, without our help?

Beside it stands what `core.lineage` tells of the same runs, which is what a row expects.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.waiting import until
from tests.contract.bench import MONTHS, opened
from tests.lineage import MODELS, STEPS, Collector, Event, month_of, unfinished, validated
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.lineage.producers import PRODUCERS, SCHEMA

MONTH, MISSING = MONTHS[0], "2024-09"
"""A month that is published, and one that is not: its run fails."""

RUNS = {MONTH: "events", MISSING: "of_failure"}
"""The months that are run, and where `Told` keeps the events of each."""

QUIET_S = 8.0
"""The producers send what is left for some seconds after a run: all is there when nothing came for so long."""

OURS = "urn:triptych:core"

DATASETS = ("green_tripdata", "taxi_zone_lookup", "raw_trips", "raw_zones", *MODELS)
EDGES = {
    ("green_tripdata", "raw_trips"), ("taxi_zone_lookup", "raw_zones"),
    *((parent, model) for model, parents in MODELS.items() for parent in parents),
}  # fmt: skip
"""From dataset to dataset, over whatever job."""


@dataclass
class Told:
    """The events of one producer: of the run that succeeded, and of the one that failed."""

    events: list[Event] = field(default_factory=list)
    of_failure: list[Event] = field(default_factory=list)

    @property
    def datasets(self) -> list[Mapping[str, Any]]:
        return [each for event in self.events for each in (*event.get("inputs", ()), *event.get("outputs", ()))]


def name(dataset: Mapping[str, Any]) -> str | None:
    """Return which of `DATASETS` it is, by the last part of its name; None for another one."""
    last = str(dataset["name"]).rpartition("/")[2].removesuffix(".csv").removesuffix(".parquet").rpartition(".")[2]
    return next(
        (each for each in DATASETS if last in (each, f"{each}__unpublished") or last.startswith(f"{each}_2")), None
    )


def facets(dataset: Mapping[str, Any], facet: str) -> Any:
    """Return a facet of a dataset, from whichever of the two places it may be in."""
    for key in ("facets", "inputFacets", "outputFacets"):
        if facet in (dataset.get(key) or {}):
            return dataset[key][facet]
    return None


def of(found: int, whole: int) -> str:
    return "all" if found == whole else f"{found} of {whole}"


def are_valid(told: Told) -> str:
    """Return how many events break no rule of the typed classes, and for others the first rule that is broken."""
    every, wrong = [*told.events, *told.of_failure], []
    for event in every:
        try:
            validated(event)
        except (ValueError, TypeError) as error:
            wrong.append(str(error))
    return "all" if not wrong else f"{len(every) - len(wrong)} of {len(every)}: {wrong[0]}"


NAMES = {"ingest_zones": "raw_zones", "ingest_month": "raw_trips"}
"""What Dagster calls a step: by the asset that it makes."""


def steps(told: Told) -> str:
    jobs = {event["job"]["name"].rpartition(".")[2] for event in told.events}
    wanted = ("ingest_zones", *STEPS)
    return of(sum(bool({step, NAMES.get(step)} & jobs) for step in wanted), len(wanted))


def have_ends(told: Told) -> str:
    broken = unfinished([*told.events, *told.of_failure])
    runs = {(event["run"]["runId"], event["job"]["name"]) for event in [*told.events, *told.of_failure]}
    return of(len(runs) - len(broken), len(runs))


def have_parents(told: Told) -> bool:
    """Return whether the runs of steps name the run above them, under the facet's own name."""
    return any("parent" in event["run"].get("facets", {}) for event in told.events)


def month(told: Told) -> list[str]:
    """Return the months that are told as nominal times; where there are other times only, that."""
    months = {found for event in told.events if (found := month_of(event))}
    others = ["another time"] if any("nominalTime" in event["run"].get("facets", {}) for event in told.events) else []
    return sorted(months) or others


def edges(told: Told) -> str:
    found = {
        (name(source), name(target))
        for event in told.events
        for source in event.get("inputs", ())
        for target in event.get("outputs", ())
    }
    return of(len(EDGES & found), len(EDGES))


def schemas(told: Told) -> str:
    tables = [each for each in DATASETS if each.startswith(("raw_", *MODELS))]
    found = {name(each) for each in told.datasets if facets(each, "schema")}
    return of(len(found & set(tables)), len(tables))


def rows_are_told(told: Told) -> bool:
    return any((facets(each, "outputStatistics") or {}).get("rowCount") for each in told.datasets)


def tests_are_told(told: Told) -> bool:
    return any(facets(each, "dataQualityAssertions") for each in told.datasets)


def failure(told: Told) -> str:
    """Return how a run is told that failed because its month is not published."""
    failed = [event for event in told.of_failure if event["eventType"] == "FAIL"]
    if not failed:
        return "not told"
    messages = [event["run"].get("facets", {}).get("errorMessage", {}).get("message", "") for event in failed]
    return "FAIL, with the cause" if any(MISSING in message for message in messages) else "FAIL"


FACTS: Mapping[str, tuple[Any, Callable[[Told], Any]]] = {
    "events that are valid": ("all", are_valid),
    "runs with one start and one end": ("all", have_ends),
    "steps that are jobs": ("all", steps),
    "the run above a step": (True, have_parents),
    "the month": ([MONTH], month),
    "files and tables": ("all", lambda told: of(len({name(each) for each in told.datasets} - {None}), len(DATASETS))),
    "edges between them": ("all", edges),
    "tables with a schema": ("all", schemas),
    "rows written": (True, rows_are_told),
    "results of data tests": (True, tests_are_told),
    "a month that is not published": ("FAIL, with the cause", failure),
}
"""What a catalog may learn: the right answer, and how it is found in the events."""


def observed(orchestrator: str, months: Mapping[str, str] = RUNS) -> tuple[Told, Told]:
    """Run the taxi pipeline with the producer on; return what that tells, and what core does."""
    producer = PRODUCERS[orchestrator]
    theirs, ours = Told(), Told()
    with tempfile.TemporaryDirectory(prefix="triptych-questions-") as folder, Collector() as collector:
        variables = {**collector.variables, "PYTHONPATH": str(producer.folder)}
        with opened(Path(folder), producer.pipelines, variables) as bench, producer.switch(bench, orchestrator):
            for month, keep in months.items():
                given = {"source": str(bench.folder), "schema": SCHEMA}
                Asking(bench, orchestrator).run("taxi_pipeline", given, month)
                producer.afterwards(bench)
                events = settled(collector)
                setattr(theirs, keep, [event for event in events if event["producer"] != OURS])
                setattr(ours, keep, [event for event in events if event["producer"] == OURS])
    return theirs, ours


def settled(collector: Collector) -> list[Event]:
    """Return the events that have arrived, once nothing has for `QUIET_S`."""
    events: list[Event] = []

    def quiet() -> list[Event] | None:
        came = collector.taken()
        events.extend(came)
        return None if came or not events else events

    return until(quiet, 180, QUIET_S, "the last event")


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield what the orchestrator's producer tells, row by row."""
    PRODUCERS[asking.orchestrator].install()
    yield from compared(rows, *observed(asking.orchestrator))


def compared(rows: Sequence[Row], theirs: Told, ours: Told) -> Answers:
    """Yield what a producer tells, row by row; core must tell what is expected."""
    for row in rows:
        expected, fact = FACTS[row.key["what"]]
        assert fact(ours) == expected, (row.key, fact(ours))
        yield row, fact(theirs)


def rows(*absent: str) -> list[Row]:
    """Return the rows, but for those about which the producer could say nothing."""
    return [
        Row({"what": what}, expected, in_tests=what == "the month")
        for what, (expected, _) in FACTS.items()
        if what not in absent
    ]


def lacks(orchestrator: str) -> str | None:
    """Return why a test does not ask: it installs nothing."""
    return None if PRODUCERS[orchestrator].is_installed else "the producer is not installed: `make guide` does that"


QUESTION = Question(
    name="lineage",
    title="What does a catalog learn of a month from each orchestrator's own producer of lineage?",
    rows=rows(),
    ask=ask,
    lacks=lacks,
)
