"""The process of an attempt that its orchestrator takes for lost: whether it goes on, and whether it writes.

Each session of the pipeline says its pid in ``application_name``, so PostgreSQL knows the transactions of a process.
The one that is open when the signal comes is known from the start, and its end is exact; those that come later are
looked for every 20 ms.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.contract.bench import Bench
from tests.faults.drills.asking import asking

PAUSE_S = 0.02

OPEN = """SELECT backend_xid::text FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE %s AND backend_xid IS NOT NULL"""

COMMITTED = "SELECT coalesce(pg_xact_status(%s::text::xid8) = 'committed', false)"


@dataclass
class Transactions:
    """The transactions in which a process wrote, each with the instant at which it was last seen open."""

    seen: dict[str, float] = field(default_factory=dict)

    def committed_after(self, bench: Bench, since: float | None) -> bool:
        """Return whether one that was still open at `since` was committed; never when there is no such instant."""
        if since is None:
            return False
        late = [xid for xid, at in self.seen.items() if at > since]
        with bench.connect() as connection:
            return any(connection.execute(COMMITTED, [xid]).fetchall()[0][0] for xid in late)


@contextmanager
def following(bench: Bench, pid: int | None) -> Iterator[Transactions]:
    """Follow the transactions of a process until the block ends; for None, of no process."""
    found = Transactions()

    def ask(connection: psycopg.Connection[Any]) -> None:
        for (xid,) in connection.execute(OPEN, [f"triptych pid={pid} %"]).fetchall():
            found.seen[xid] = time.monotonic()

    with nullcontext() if pid is None else asking(bench, ask, PAUSE_S):
        yield found
