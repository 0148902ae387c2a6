"""How often the load of each month was begun: each attempt opens a session for it, and the server logs each session.

What an orchestrator records can't say it: that is what is asked. Neither can the ledger: an attempt that comes second
finds its month loaded, and may leave no trace.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.run import DATASET
from tests.contract.bench import Bench


@dataclass
class Executions:
    """The loads that were begun, by month, once the block has ended."""

    of: Counter[str] = field(default_factory=Counter)

    @property
    def doubled(self) -> list[str]:
        """The months whose load was begun more than once."""
        return sorted(month for month, count in self.of.items() if count > 1)


@contextmanager
def counting(bench: Bench, loader: str) -> Iterator[Executions]:
    """Count the loads that an orchestrator begins in the block."""
    log, found = Path(bench.lab.settings.home, "postgres", "log"), Executions()
    with bench.connect() as connection:
        connection.execute("ALTER SYSTEM SET log_connections = on")
        connection.execute("SELECT pg_reload_conf()")
    begin = log.stat().st_size
    yield found
    with log.open(errors="replace") as lines:
        lines.seek(begin)
        found.of.update(months(lines.read(), loader))


def months(log: str, loader: str) -> list[str]:
    """Return the months of the sessions that a loader opened, one for each load, from the server's log."""
    return re.findall(rf"application_name=triptych pid=\d+ {loader} {DATASET} (\d{{4}}-\d\d)$", log, re.MULTILINE)
