"""How a backfill is held in a phase: by locks that its steps wait for, and never by a clock.

    before     nothing is held: the first progress of the backfill says that the orchestrator has accepted it
    load       the lock of the load ledger: each load has copied its rows, and its transaction is open
    between    the lock of the schema's builds: the step `transform` has begun, and nothing is built
    dbt        the lock of a view that dbt reads, and no other step: dbt is in the middle of its build
    last       the lock of the last month's load until the others have ended, then as `load`

While the models are built, the loads of the other months are held too, so that it is known whose step runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from core.database import lock_key
from core.run import DATASET
from core.waiting import until
from tests.contract.bench import Bench
from tests.faults.drills.plan import BEFORE, BETWEEN, DBT, LAST, LOAD
from tests.faults.drills.watch import Watch

REACH_S = 120.0
"""How long a backfill may take to get to a phase."""

STEPS = {LOAD: "ingest_month", LAST: "ingest_month", BETWEEN: "transform", DBT: "transform"}
"""The step that is under way in a phase."""


@dataclass
class Hold:
    """What holds a backfill of `months` in a phase, until `release`."""

    bench: Bench
    schema: str
    phase: str
    months: Sequence[str]
    connection: psycopg.Connection[tuple[object, ...]]

    @property
    def month(self) -> str:
        """The month whose step is held."""
        return self.months[-1] if self.phase == LAST else self.months[0]

    def take(self) -> None:
        """Take the locks of the phase. The baseline has loaded a month, so the tables exist."""
        if self.phase in (BETWEEN, DBT):
            for month in self.months[1:]:
                self._lock("load", self.schema, DATASET, month)
        if self.phase == LAST:
            self._lock("load", self.schema, DATASET, self.month)
        if self.phase == BETWEEN:
            self._lock("transform", self.schema)
        if self.phase == LOAD:
            self._hold_ledger()
        if self.phase == DBT:
            # LOCK TABLE would lock the tables below the view too, which the loads need.
            view = sql.Identifier(self.schema, "stg_trips")
            self._hold(sql.SQL("ALTER VIEW {} SET (security_barrier = false)").format(view))

    def reach(self, watch: Watch, check: Callable[[], None]) -> None:
        """Return when the backfill is in the phase; `check` raises when it can't get there any more."""

        def wait(probe: Callable[[], bool], what: str) -> None:
            def look() -> bool | None:
                check()
                return probe() or None

            until(look, REACH_S, 0.05, what)

        if self.phase == BEFORE:
            wait(lambda: watch.last(self.month) is not None, "the backfill, accepted")
            return
        if self.phase == LAST:
            others = set(self.months[:-1])
            wait(lambda: watch.landed >= others and self._waiting("advisory") is not None, "all months but the last")
            self._hold_ledger()
            query = "SELECT pg_advisory_unlock(%s)"
            self.connection.execute(query, [lock_key("load", self.schema, DATASET, self.month)])
        wait(lambda: self.step() is not None and self._is_recorded(watch), f"{self.phase}: {self.month} under way")

    def step(self) -> int | None:
        """Return the process of the step that is held; None when no step is."""
        if self.phase == BEFORE:
            return None
        if self.phase == DBT:
            return self._pid(f"transform {self.schema}") if self._dbt_waits() else None
        return self._waiting("advisory" if self.phase == BETWEEN else "relation")

    def release(self) -> None:
        """Let the backfill go on. The locks are gone already when the server has died."""
        with suppress(psycopg.Error):
            self.connection.close()

    def _is_recorded(self, watch: Watch) -> bool:
        """Return whether the orchestrator's own record says that the step is under way: from then on it can lose it."""
        last = watch.last(self.month)
        return last is not None and last.state == "running" and last.task == STEPS[self.phase]

    def _waiting(self, event: str) -> int | None:
        what = f"transform {self.schema}" if self.phase == BETWEEN else f"{DATASET} {self.month}"
        return self._pid(what, "AND wait_event_type = 'Lock' AND wait_event = %s", event)

    def _pid(self, purpose: str, further: str = "", *values: str) -> int | None:
        """Return the process that has a session for `purpose`; the newest one, if a lost attempt has one too."""
        query = f"""SELECT application_name FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name ~ %s {further} ORDER BY backend_start DESC"""
        with self.bench.connect() as connection:
            rows = connection.execute(
                query.encode(), [f"^triptych pid=\\d+ .*{re.escape(purpose)}$", *values]
            ).fetchall()
        pids = [match[1] for (name,) in rows if (match := re.match(r"triptych pid=(\d+) ", str(name)))]
        return int(pids[0]) if pids else None

    def _dbt_waits(self) -> bool:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        with self.bench.connect() as connection:
            return bool(connection.execute(query, [f"triptych dbt {self.schema}"]).fetchall())

    def _lock(self, *words: str) -> None:
        self.connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(*words)])

    def _hold_ledger(self) -> None:
        ledger = sql.Identifier(self.schema, "load_ledger")
        self._hold(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(ledger))

    def _hold(self, statement: sql.Composed) -> None:
        """Execute a statement in a transaction that stays open, so that its lock is held."""
        self.connection.execute("BEGIN")
        self.connection.execute(statement)


@contextmanager
def held(bench: Bench, schema: str, phase: str, months: Sequence[str], kind: type[Hold] = Hold) -> Iterator[Hold]:
    """Take the locks of a phase; release them at the end, if that was not done before. `kind` says what they are."""
    hold = kind(bench, schema, phase, months, bench.connect())
    try:
        hold.take()
        yield hold
    finally:
        hold.release()
