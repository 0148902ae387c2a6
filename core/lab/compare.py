"""Whether tables of several schemas are equal, by digest: any tables or views, whoever made them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psycopg

from core import digest
from core.database import Connection
from core.digest import Digest, Held
from core.lab.relations import Relation, named
from core.month import Month


@dataclass(frozen=True)
class Problem:
    """Why a table of a schema can't equal the baseline's (``columns``), or could not be read (``not compared``)."""

    schema: str
    table: str
    kind: Literal["columns", "not compared"]
    line: str

    def to_json(self) -> dict[str, Any]:
        """Return the problem as ``triptych parity --json`` writes it."""
        return asdict(self)


@dataclass(frozen=True)
class Row:
    """One table: what each schema holds of it, the baseline first.

    That is None where the table does not exist, or where a problem says why it was not read.
    """

    table: str
    held: Mapping[str, Held | None]
    problems: tuple[Problem, ...] = ()

    @property
    def digests(self) -> dict[str, Digest | None]:
        """The digest by schema; None where there is none."""
        return {schema: None if held is None else digest.total(held.values()) for schema, held in self.held.items()}

    @property
    def not_compared(self) -> list[str]:
        """The schemas whose table could not be read."""
        return [problem.schema for problem in self.problems if problem.kind == "not compared"]

    @property
    def missing(self) -> list[str]:
        """The schemas without this table."""
        unread = {problem.schema for problem in self.problems}
        return [schema for schema, held in self.held.items() if held is None and schema not in unread]

    @property
    def differing(self) -> list[str]:
        """The schemas whose table is not equal to the baseline's, as far as both were read."""
        digests, unread = self.digests, self.not_compared
        baseline, *others = digests
        if baseline in unread:
            return []
        return [schema for schema in others if schema not in unread and digests[schema] != digests[baseline]]

    @property
    def months(self) -> dict[str, list[str]]:
        """The months that differ, by differing schema: none where the table is not kept by month, or not there."""
        return {schema: [month for month in self.parts(schema) if month] for schema in self.differing}

    def parts(self, schema: str) -> list[str]:
        """Return what differs of a schema's table that both have: months, and the empty string for other rows."""
        ours, theirs = self.held[schema], next(iter(self.held.values()))
        if ours is None or theirs is None:
            return []
        return sorted(month for month in ours.keys() | theirs.keys() if ours.get(month) != theirs.get(month))

    @property
    def is_by_month(self) -> bool:
        """True when some row belongs to a month."""
        return any(month for held in self.held.values() for month in held or ())

    def lacking(self, schema: str) -> list[str]:
        """Return the months that other schemas have rows of, and `schema` has not."""
        ours = self.held[schema]
        every = {month for held in self.held.values() for month in held or () if month}
        return [] if ours is None else sorted(every - ours.keys())

    def common(self) -> set[str]:
        """Return the months that every schema has rows of."""
        return set.intersection(*({month for month in held or () if month} for held in self.held.values()))


def read(connection: Connection, relation: Relation, months: Collection[Month] | None) -> Held | Problem:
    """Return what a table holds, of `months` only where it has any, or why the server refuses to read it."""
    try:
        # A savepoint: what one table raises must not end the comparison of the others.
        with connection.transaction():
            return _held(connection, relation, months)
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError, psycopg.InternalError) as error:
        return Problem(relation.schema, relation.name, "not compared", f"{relation} is not compared: {_why(error)}")


def _held(connection: Connection, relation: Relation, months: Collection[Month] | None) -> Held:
    schema, name, key = relation.schema, relation.name, relation.key
    if key is None:
        return {"": digest.table(connection, schema, name)}
    if months is None:
        return digest.by_month(connection, schema, name, key)
    found = digest.by_key(connection, key, schema, name, [month.first_day for month in months])
    return {day.isoformat()[:7]: content for day, content in sorted(found.items())}


def _why(error: psycopg.Error) -> str:
    message = error.diag.message_primary or str(error)
    if "no binary output function" in message:
        return f"{message}; compare views that leave the column out, or cast it to text"
    return message


def compare_table(
    connection: Connection,
    table: str,
    schemas: Sequence[str],
    found: Mapping[str, Relation],
    months: Collection[Month] | None = None,
) -> Row:
    """Compare a table that is `found` in some of `schemas`, the baseline first.

    One whose columns are not the baseline's is not read: its digest could not be equal.
    """
    held: dict[str, Held | None] = dict.fromkeys(schemas)
    problems: list[Problem] = []
    baseline = found.get(schemas[0])
    for schema, relation in found.items():
        if baseline and not _alike(relation, baseline):
            problems += column_differences(relation, baseline)
        elif isinstance(content := read(connection, relation, months), Problem):
            problems.append(content)
        else:
            held[schema] = content
    for schema in Row(table, held, tuple(problems)).differing:
        # Columns of one type that were declared with another precision: their values may differ for that alone.
        if baseline and held[schema] is not None:
            problems += column_differences(found[schema], baseline)
    return Row(table, held, tuple(problems))


def _alike(ours: Relation, theirs: Relation) -> bool:
    """Return whether the columns of two tables have the same names and types; length and precision may differ."""
    return [each[:2] for each in ours.columns] == [each[:2] for each in theirs.columns]


def column_differences(ours: Relation, theirs: Relation) -> Iterator[Problem]:
    """Yield how the columns of `ours` differ from those of `theirs`: which are missing, of another type, or moved."""
    mine, other = ({column.name: column for column in each.columns} for each in (ours, theirs))
    lines = [f"{ours} has no column {named(name)}, and {theirs} has" for name in other if name not in mine]
    lines += [f"{ours} has a column {named(name)}, and {theirs} has not" for name in mine if name not in other]
    for name in (name for name in mine if name in other and mine[name] != other[name]):
        there, here = other[name].declared, mine[name].declared
        lines.append(f"{ours}.{named(name)} is {here}, and {theirs}.{named(name)} is {there}")
    if not lines and [*mine] != [*other]:
        order = ", ".join(named(name) for name in mine)
        lines.append(f"{ours} has its columns in another order than {theirs}: {order}")
    for line in lines:
        yield Problem(ours.schema, ours.name, "columns", line)
