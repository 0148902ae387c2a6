"""The part of the page of backfills on roles, on the metadata database, and on where the seconds of a month go."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.harness.markdown import number, table
from benchmarks.harness.measure import Row
from benchmarks.orchestrators.roles import ROLES
from benchmarks.orchestrators.stages import STAGES, TASKS
from benchmarks.summary import standalone
from benchmarks.summary.figures import Results
from benchmarks.summary.sections.months import COLORS, has_stages, pictured

PICTURE = "stages.svg"

TURNS = ("load", "unchanged")


def pictures(result: dict[str, Any]) -> Mapping[str, str]:
    """Return the files that the page shows; none of results that lack the stages."""
    results = Results("benchmarks/results/backfill.json", result)
    if not has_stages(results):
        return {}
    return {PICTURE: standalone.stacked(pictured(results), COLORS, "Seconds of a month, by stage and orchestrator")}


def by_role(rows: list[Row], key: Callable[[str], str], said: str) -> Iterator[str]:
    """Yield a table with a line for each role, of the months that are new; nothing if it was not measured."""
    names = _names(rows)
    body = [[role, *(_median(rows, name, "load", key(role)) for name in names)] for role in ROLES]
    if used := [line for line in body if {*line[1:]} != {"-"}]:
        yield "`load` by role:\n"
        yield table(["role", *names], used)
        yield said


CPU = (
    "A service counts with what it starts, except for its runs. `run`: all that begins below the service that starts "
    "runs (Airflow's scheduler, Dagster's code server, Prefect's worker) after the services took work: its workers, "
    "runs and tasks. `code server` is Airflow's DAG processor, too. `database`: PostgreSQL, for metadata and warehouse "
    "together. `lab`: this benchmark and its calls. Added up over process trees: the rest of the machine's seconds "
    "is of other programs, and of processes that nothing waited for.\n"
)

MEMORY = (
    "The largest sum of each role: two roles need not have theirs at the same moment. `database` and `dbt` are "
    "not part of the figures above, and are looked at every 2 s, the others every 0.5 s.\n"
)


def sections(result: dict[str, Any]) -> Iterator[str]:
    """Yield the sections on the metadata database and on the stages; nothing if they were not measured."""
    rows: list[Row] = result["rows"]
    if not has_stages(Results("", result)):
        return
    months = rows[0]["months"]
    yield "## The metadata database\n"
    yield table(["a month", *_names(rows)], _metadata(rows, months))
    yield (
        "`statements`: what PostgreSQL executed in the orchestrator's own database during the turn, by "
        "`pg_stat_statements`, divided by the months: of services, runs and the lab's client, with BEGIN and COMMIT, "
        "with polls and heartbeats. `rows`: of all its tables, counted, after the turn less before it. `KB`: growth "
        "of `pg_database_size`, indexes included. The baseline has no such database.\n"
    )
    yield "## Where the seconds of a month go\n"
    yield f"![Seconds of a month, by stage]({PICTURE})\n"
    yield (
        "A bar is the mean of the months of a backfill, in the round with the median of it, so its parts add up: "
        "from the moment at which one of the two slots is free to the end of the month's run, by the orchestrator's "
        "own records. The table has the medians of the months, and of the rounds.\n"
    )
    yield table(["seconds", *(stage.replace("_", "-") for stage in (*STAGES, "month"))], _stages(rows))
    yield (
        "`next`: the month before in the slot has ended, the run of this one is not created. `queued`: it is created, "
        "and not launched. `start`: its process starts and imports, until the first step; where each task is a "
        "process, also from the decision to run it to its start, while what it imports is in its own seconds. "
        "`steps`: a step runs. `hand-over`: from one step to the next. `end`: from the last step to the end of the "
        "run.\n"
    )
    yield "The steps by name; while two run, the seconds are those of the one that ends last:\n"
    yield table(["seconds", *TASKS], _tasks(rows))
    yield "Before the first run was created, and from the end of the last one to the lab's answer:\n"
    yield table(["seconds", *(f"{turn}: {what}" for turn in TURNS for what in ("before", "after"))], _around(rows))


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["orchestrator"] for row in rows))


def _median(rows: list[Row], name: str, turn: str, key: str, divisor: float = 1) -> str:
    found = [row[key] for row in rows if (row["orchestrator"], row["turn"]) == (name, turn) and key in row]
    value = statistics.median(found) / divisor if found else None
    return "-" if value is None else number(value) if value else "0"


def _metadata(rows: list[Row], months: int) -> Iterator[list[str]]:
    for turn in TURNS:
        for key, what in (("statements", "statements"), ("metadata_rows", "rows"), ("metadata_kb", "KB")):
            yield [f"{turn}: {what}", *(_median(rows, name, turn, key, months) for name in _names(rows))]


def _stages(rows: list[Row]) -> Iterator[list[str]]:
    for turn in TURNS:
        yield from _medians(rows, turn, (*STAGES, "month"))


def _tasks(rows: list[Row]) -> Iterator[list[str]]:
    for turn in TURNS:
        yield from _medians(rows, turn, TASKS)


def _medians(rows: list[Row], turn: str, keys: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield a line for each orchestrator: the median over the rounds of the median of the months."""
    flat = [{**row, **row["medians"]} for row in rows if "medians" in row]
    for name in _names(flat):
        yield [f"{name}, {turn}", *(_median(flat, name, turn, key) for key in keys)]


def _around(rows: list[Row]) -> Iterator[list[str]]:
    for name in _names(rows):
        yield [name, *(_median(rows, name, turn, key) for turn in TURNS for key in ("before_s", "after_s"))]
