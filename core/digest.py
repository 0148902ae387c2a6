"""The digest: what "identical" means.

A table is a multiset of rows. Each row is taken in PostgreSQL's binary wire form (`record_send`), which holds every
value to the last bit, and every column's type and length, and does not depend on DateStyle, time zone, locale,
extra_float_digits or the row's place on disk. Each row is hashed to two 64-bit numbers (the server's
`hashbyteaextended` under two seeds), and those are summed over the rows. A sum does not depend on order, and unlike
XOR it keeps duplicates: two equal rows do not cancel out. What is printed is SHA-256 over the count and both sums, cut
to 128 bits.

An accidental change (a flipped bit, a value moved to another row, a row lost or doubled) goes unseen with a chance of
about 2^-128. The digest is no defense against someone who may choose rows: the row hash is fast, not cryptographic.
SHA-256 per row took 4.5 s per million rows against 2.0 s, and COPY itself takes 1.5 s.

The sums add up, so the digest of a table follows from those of its months without reading it again. `core.load.rowhash`
computes the same digests without a server, from a file's batches.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from core.database import Connection

_VERSION = "triptych-digest-1"


@dataclass(frozen=True)
class Digest:
    """A multiset of rows: their number, and the sums of their two hashes."""

    rows: int
    sums: tuple[int, int]

    @property
    def hex(self) -> str:
        """The digest as text: 128 bits, in 32 hexadecimal digits."""
        return hashlib.sha256(repr((_VERSION, self.rows, *self.sums)).encode()).hexdigest()[:32]

    def __add__(self, other: Digest) -> Digest:
        """Return the digest of both multisets together."""
        return Digest(self.rows + other.rows, (self.sums[0] + other.sums[0], self.sums[1] + other.sums[1]))


Held = dict[str, Digest]
"""What a table holds: the digest of each month; of all rows, under the empty string, where it is not kept by month."""


def total(digests: Iterable[Digest]) -> Digest:
    """Return the digest of all of them together."""
    return sum(digests, Digest(0, (0, 0)))


# The outer join keeps the planner from computing record_send(t) twice, once per seed. It is most of the cost, and so it
# is computed once, in the scan. OFFSET 0 in the subquery does that too, but then only one process hashes; with the
# join, every process that scans also hashes.
_QUERY = sql.SQL(
    """
    SELECT {key}, count(*), sum(hashbyteaextended(row.bytes, 0)), sum(hashbyteaextended(row.bytes, 1))
    FROM {table} AS t LEFT JOIN LATERAL (SELECT record_send(t.*) AS bytes) AS row ON true
    WHERE {which}
    GROUP BY 1
    """
)


_ALL = sql.SQL("true")
_SOURCE_MONTH = sql.SQL("source_month")


def table(connection: Connection, schema: str, name: str) -> Digest:
    """Return the digest of all rows of a table or view. An empty one has a digest too."""
    return total(_digests(connection, sql.SQL("NULL::date"), schema, name).values())


def by_month(connection: Connection, schema: str, name: str, key: sql.Composable = _SOURCE_MONTH) -> Held:
    """Return the digest of each month (``YYYY-MM``) of a table, in order of time.

    `key` is an expression for the first day of a row's month, in which the table is called ``t``. Rows for which it is
    NULL, which no table of ours holds, come first, under the empty string.
    """
    months = _digests(connection, key, schema, name)
    in_order = sorted(months.items(), key=lambda item: item[0] or dt.date.min)
    return {month.isoformat()[:7] if month else "": digest for month, digest in in_order}


def by_key(
    connection: Connection, key: sql.Composable, schema: str, name: str, months: Sequence[dt.date] | None = None
) -> dict[dt.date, Digest]:
    """Return the digest of each value of `key`, an expression over the table's columns for the first day of a month.

    With `months`, only of these. Rows for which `key` is NULL are in none.
    """
    which = sql.SQL("{} = ANY ({}::date[])").format(key, list(months)) if months is not None else _ALL
    found = _digests(connection, key, schema, name, which)
    return {month: content for month, content in found.items() if month is not None}


def _digests(
    connection: Connection, key: sql.Composable, schema: str, name: str, which: sql.Composable = _ALL
) -> dict[dt.date | None, Digest]:
    rows = connection.execute(_QUERY.format(key=key, table=sql.Identifier(schema, name), which=which))
    return {month: Digest(count, (int(first), int(second))) for month, count, first, second in rows}
