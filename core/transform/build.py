"""One refresh: lock the schema, build what is pending with dbt, publish it, and record from what it was built."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg

from core.database import Connection, check_schema_name, connect, lock_key, lock_not_free, logged_wait
from core.month import spans_of
from core.run import counted
from core.transform import findings, marts, pending
from core.transform.dbt_build import BuiltModel, build_models
from core.transform.pending import PROJECT, Plan

log = logging.getLogger(__name__)

LEDGERS = ("transform_ledger", marts.LEDGER, "test_results")
"""What a refresh records; a schema of before its first refresh lacks one of them."""


@dataclass(frozen=True)
class Refresh:
    """What a refresh did. `state` is ``success`` or ``unchanged``; `months` are those that were rebuilt.

    `models` are those that dbt built, and `rows` how many rows that are now published in each mart, where a build of
    some months can tell.
    `warnings` say what a reader may have noticed: a damaged mart that was rebuilt, a mart whose columns changed.
    """

    state: str
    months: tuple[dt.date, ...] = ()
    full: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    models: tuple[BuiltModel, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)


def refresh(schema: str, month: dt.date | None = None) -> Refresh:
    """Build what is pending in `schema`, and publish it in one transaction; start nothing when nothing is pending.

    With `month`, what the last build left of it is compared with the marts (`marts.damage`): rows that have gone
    missing since then are a reason to rebuild all months.

    Refreshes of one schema wait for each other: dbt collides on its temporary names otherwise. Raise `Busy` when the
    other one takes longer than `Settings.lock_wait_s`, `TransformFailed` when a model can't be built (what was built
    before stays), `DatabaseUnavailable` when the server goes away. Failed data tests are recorded, not raised.
    """
    check_schema_name(schema)
    started = time.monotonic()
    with connect(f"transform {schema}", autocommit=True) as connection, _exclusive(connection, schema):
        plan = _plan(connection, schema, month)
        if plan.is_empty:
            at = pending.last_built(connection, schema)
            log.info("%s: nothing has changed since its last build, at %s", schema, at.isoformat(" ", "seconds"))
            return Refresh("unchanged")
        done = _build(connection, schema, plan)
        return replace(done, seconds=round(time.monotonic() - started, 3))


def stale(schema: str, month: dt.date) -> tuple[str, ...]:
    """Return why a refresh for `month` would build something of it, one phrase for each cause; nothing if it would not.

    What only other months have pending is left out. Nothing is locked: a refresh compares again before it builds.
    """
    check_schema_name(schema)
    with connect(f"transform {schema}", autocommit=True) as connection:
        pending.require_raw_tables(connection, schema)
        if pending.missing_tables(connection, schema, LEDGERS):
            return ("this is the first build",)
        return pending.plan(connection, schema, month, alone=True).reasons


def _plan(connection: Connection, schema: str, month: dt.date | None) -> Plan:
    pending.require_raw_tables(connection, schema)
    pending.create_ledger(connection, schema)
    marts.create_ledger(connection, schema)
    findings.create_table(connection, schema)
    return pending.plan(connection, schema, month)


def _build(connection: Connection, schema: str, plan: Plan) -> Refresh:
    """Build and publish what `plan` says."""
    log.info("%s: building %s: %s", schema, _what(plan), "; ".join(plan.reasons))
    months = None if plan.full else plan.months
    # A view changes with the project only, and so does what a unit test finds, which reads made-up rows.
    views, unit_tests = PROJECT in plan.changed or bool(plan.missing), PROJECT in plan.changed
    build = build_models(connection.info, schema, months, views=views, unit_tests=unit_tests, dataset=plan.dataset)
    with connection.transaction():
        findings.write(connection, schema, build.outcomes, months)
        replaced = marts.publish(connection, schema, months) if months != () else []
        pending.write_versions(connection, schema, plan.versions)
        rows = marts.recorded(connection, schema, months)
    damaged = [f"{plan.damaged}: all months were rebuilt"] if plan.damaged else []
    warnings = damaged + [
        f"{name} was replaced because its columns changed: a transaction that began before sees it empty"
        for name in replaced
    ]
    return Refresh("success", plan.months, plan.full, warnings=tuple(warnings), models=tuple(build.models), rows=rows)


def _what(plan: Plan) -> str:
    if plan.full:
        return f"all {counted(len(plan.months), 'month')}"
    return spans_of(plan.months) or "views only"


@contextmanager
def _exclusive(connection: Connection, schema: str) -> Iterator[None]:
    """Hold the schema's transform lock until the block, or the connection, ends.

    The lock belongs to the session: one of a transaction would keep that open, idle, for as long as dbt takes.
    """
    key = lock_key("transform", schema)
    try:
        with logged_wait(f"another refresh of schema {schema}"):
            connection.execute("SELECT pg_advisory_lock(%s)", [key])
    except psycopg.errors.LockNotAvailable as error:
        raise lock_not_free(connection, "transform", schema) from error
    # The session is idle while dbt works
    connection.execute("SET idle_session_timeout = 0")
    yield
    connection.execute("SELECT pg_advisory_unlock(%s)", [key])
