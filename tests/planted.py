"""Secrets that are easy to recognise, and where they are found again, in whatever spelling."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

PASSWORD = "c4nary pw/@:%'\"\\ü$&=#?{{7*7}}"
"""Every letter that a URL, a shell, SQL, Jinja or a configuration file would take for something else."""


def spellings(secret: str) -> set[bytes]:
    """The secret as it is, percent-encoded, in a Python or JSON string, and in base64 wherever it begins."""
    raw = secret.encode()
    found = {raw, repr(secret)[1:-1].encode(), json.dumps(secret)[1:-1].encode()}
    found |= {word.encode() for word in (quote(secret, safe=""), quote(secret), quote_plus(secret))}
    # Of three bytes base64 makes four letters: cut off those that also hold a neighbor's bits.
    for shift in range(3):
        letters = base64.b64encode(bytes(shift) + raw).rstrip(b"=")[4 if shift else 0 : -1]
        found |= {letters, letters.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def leaks(secrets: Iterable[str], texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """The names of those texts in which any of the secrets stands."""
    wanted = set().union(*map(spellings, secrets))
    return [name for name, text in texts if any(spelling in text for spelling in wanted)]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below `folder`, by name."""
    for path in sorted(folder.rglob("*")):
        # Services that run make and delete some.
        with suppress(FileNotFoundError):
            if path.is_file():
                yield str(path), path.read_bytes()


def tables(dsn: str) -> Iterator[tuple[str, bytes]]:
    """Every table and view of a database, and what sessions say of themselves, by name."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            """SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
               WHERE relkind IN ('r', 'p', 'v', 'm') AND nspname NOT LIKE 'pg\\_%'
               AND nspname <> 'information_schema'"""
        ).fetchall()
        for name in [*found, ("pg_catalog", "pg_stat_activity"), ("pg_catalog", "pg_description")]:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(*name))).fetchall()
            yield ".".join(name), "\n".join(row for (row,) in rows).encode()
