"""What a load is asked to do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from core.datasets import Dataset
from core.digest import Digest
from core.errors import SuspectFile
from core.extract import Extracted
from core.ledger import Entry
from core.month import Month


@dataclass(frozen=True)
class Load:
    """An order: load one dataset's file into one schema, under one fencing token."""

    schema: str
    dataset: Dataset
    month: Month | None
    file: Extracted
    strategy: str
    loader: str
    run_id: str
    fence: int
    force: bool = False
    accept_suspect: bool = False
    source: str = ""
    """Where the file comes from, for the ledger."""

    @property
    def table(self) -> sql.Identifier:
        """The table that readers see."""
        return sql.Identifier(self.schema, self.dataset.table)

    @property
    def partition_name(self) -> str:
        """The name of the month's partition, without its schema: ``raw_trips_2024_01``."""
        return f"{self.dataset.table}_{str(self.month).replace('-', '_')}"

    @property
    def partition(self) -> sql.Identifier:
        """The month's partition."""
        return sql.Identifier(self.schema, self.partition_name)

    @property
    def bound(self) -> sql.Literal:
        """The partition's one key value."""
        assert self.month is not None
        return sql.Literal(self.month.first_day)

    def suspected(self, line: str | None) -> tuple[str, ...]:
        """Return what `core.load.suspect` reports as a warning if the user insists; raise `SuspectFile` otherwise."""
        if line is None:
            return ()
        if not self.accept_suspect:
            raise SuspectFile(
                f"{line}; fetch it again from the publisher, or publish it as it is with --accept-suspect"
            )
        return (line,)


@dataclass(frozen=True)
class Loaded:
    """What a load did: `state` is ``success`` or ``unchanged``. `superseded`: a younger attempt published first.

    `warnings` are lines that a person should read although the rows are published.
    """

    state: str
    entry: Entry
    superseded: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """The rows that were copied, and what a person should know about them."""

    digest: Digest
    warnings: tuple[str, ...] = ()
