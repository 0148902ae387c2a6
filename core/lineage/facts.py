"""What a step tells of itself and of its datasets. Plain data: OpenLineage is imported where events are sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.database import address
from core.settings import settings

if TYPE_CHECKING:
    from core import datasets
    from core.extract import Extracted
    from core.load import Loaded
    from core.transform import Model, Result

State = Literal["START", "COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True)
class Column:
    """A column of a dataset, with its PostgreSQL type."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True)
class Test:
    """How a data test of a dataset ended for one month."""

    name: str
    passed: bool
    severity: str
    description: str


@dataclass(frozen=True)
class Dataset:
    """A file or a table, named as OpenLineage names them, and what a step knows of it.

    `rows` were written by the step, or are of a month that it tested. `version` identifies the content: the file's
    SHA-256, or the month's digest.
    """

    namespace: str
    name: str
    columns: tuple[Column, ...] = ()
    version: str | None = None
    rows: int | None = None
    bytes: int | None = None
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True)
class Job:
    """What a run is a run of; `kind` is OpenLineage's job type."""

    name: str
    kind: Literal["TASK", "MODEL"]


@dataclass(frozen=True)
class Parent:
    """The run that a run belongs to; `run_id` is a UUID."""

    job: str
    run_id: str


@dataclass(frozen=True)
class Facts:
    """One event: what there is to tell of a run at an instant.

    `parents` are the run above it, and the run above that one. `about` is what only Triptych knows of a run.
    """

    state: State
    at: str
    run_id: str
    job: Job
    parents: tuple[Parent, ...] = ()
    span: tuple[dt.date, dt.date] | None = None
    """The first day of the first month, and of the month after the last one."""
    reads: tuple[Dataset, ...] = ()
    writes: tuple[Dataset, ...] = ()
    error: str | None = None
    about: Mapping[str, str] | None = None


# --- datasets -------------------------------------------------------------------------------------------------------


def file(found: Extracted) -> Dataset:
    """Return the published file, by its address at the source."""
    scheme, separator, rest = found.address.partition("://")
    if separator:
        # https://host, s3://bucket, gs://bucket, az://container
        host, _, name = rest.partition("/")
        return Dataset(f"{scheme}://{host}", name, version=found.sha256, bytes=found.bytes)
    return Dataset("file", str(Path(found.address).absolute()), version=found.sha256, bytes=found.bytes)


def table(schema: str, name: str) -> Dataset:
    """Return a table or a view of the warehouse."""
    server, database = address(settings().require_dsn())
    return Dataset(f"postgres://{server}", f"{database}.{schema}.{name}")


def published(schema: str, dataset: datasets.Dataset, done: Loaded) -> Dataset:
    """Return the raw table after a load; of one that found the same bytes loaded, without rows: it wrote none."""
    return replace(
        table(schema, dataset.table),
        columns=tuple(Column(column.name, column.kind.postgres) for column in dataset.table_columns),
        version=done.entry.content_digest,
        rows=done.entry.row_count if done.state == "success" else None,
    )


def model(schema: str, declared: Model, rows: int | None) -> Dataset:
    """Return the table or view of a dbt model; `rows` is how many a build wrote."""
    columns = tuple(Column(column.name, column.type, column.description) for column in declared.columns)
    return replace(table(schema, declared.name), columns=columns, rows=rows)


def tested(schema: str, results: Sequence[Result], day: dt.date) -> Iterable[Dataset]:
    """Return the models that data tests have tested, each with how its tests ended for the month of `day`."""
    found = [result for result in results if result.kind == "data"]
    for name in sorted({result.model for result in found}):
        tests = tuple(
            Test(each.name, not each.concerns(day), each.severity, each.message) for each in found if each.model == name
        )
        yield replace(table(schema, name), tests=tests)
