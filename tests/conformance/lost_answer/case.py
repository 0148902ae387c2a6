"""The case: a run is asked for and recorded, and the answer that says so is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.harness.proxy import proxy
from core.errors import TransientError
from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.lost_answer.pipelines import CHILD, PARENT
from tests.conformance.observing import PATIENCE_S, ids, settled
from tests.questions.asking import Asking

RECORDED = {"airflow": ("dag_run", "dag_id"), "dagster": ("runs", "pipeline_name"), "prefect": ("flow_run", "flow_id")}
"""Where each records a run: the table of its own database, and the column that says what it is a run of."""

LOCK = 16
"""The number of the lock that a commit waits for."""


def observe(asking: Asking) -> Observed:
    """Return how the run that asked has ended, and the runs that it has started."""
    before, deaf = ids(asking, CHILD), Event()
    (dsn,) = asking.bench.databases(asking.orchestrator)
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        commits_held(connection, asking.orchestrator),
        on_the_way(asking, deaf) as parameters,
    ):
        parent = asking.runs.start(PARENT, parameters)
        until(lambda: waiting(connection) or None, PATIENCE_S, 0.1, "the commit of the run")
        server = lose(asking, deaf)
        # Nobody hears of it, but the commit goes on.
        connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        until(lambda: not waiting(connection) or None, PATIENCE_S, 0.1, "the end of the commit")
        if server is None:
            settled(asking, CHILD, before, bool)
        deaf.clear()
        # This starts a server that was killed.
        run = asking.runs.observe(PARENT, parent, PATIENCE_S)
        children = settled(asking, CHILD, before, bool)
    if run.error and "heartbeat" in run.error.lower():
        raise TransientError("the API server was away for so long that the run was taken for dead: ask again")
    return {"parent": run.state, "children": [child.state for child in children]}


@contextmanager
def on_the_way(asking: Asking, deaf: Event) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the run that asks: Dagster's has a port, behind which an answer gets lost."""
    if asking.orchestrator != "dagster":
        yield {}
        return
    web = asking.bench.lab.stack(asking.runs.orchestrator).start().ports["web"]
    with proxy(("127.0.0.1", web), 0.0, deaf) as port:
        yield {"port": port}


def lose(asking: Asking, deaf: Event) -> int | None:
    """Lose the next answer. Return the pid of the API server, where it had to be killed for that."""
    if asking.orchestrator == "dagster":
        deaf.set()
        return None
    services = asking.bench.lab.stack(asking.runs.orchestrator).start().processes
    (server,) = [each.pid for each in services if each.name in ("api-server", "server")]
    os.kill(server, signal.SIGKILL)
    return server


@contextmanager
def commits_held(connection: psycopg.Connection[Any], orchestrator: str) -> Iterator[None]:
    """Hold the commit of whoever records a run of the child: it waits for the lock, which we have."""
    table, column = RECORDED[orchestrator]
    value = CHILD
    if orchestrator == "prefect":
        ((flow,),) = connection.execute("SELECT id FROM flow WHERE name = %s", [CHILD]).fetchall()
        value = str(flow)
    connection.execute(
        "CREATE OR REPLACE FUNCTION lost_answer() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END $$"
    )
    trigger = sql.SQL(
        "CREATE CONSTRAINT TRIGGER lost_answer AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.{} = {}) EXECUTE FUNCTION lost_answer()"
    )
    connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    connection.execute(trigger.format(sql.Identifier(table), sql.Identifier(column), sql.Literal(value)))
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock_all()")
        connection.execute(sql.SQL("DROP TRIGGER lost_answer ON {}").format(sql.Identifier(table)))
        connection.execute("DROP FUNCTION lost_answer")


def waiting(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a commit waits."""
    query = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    return bool(connection.execute(query, [LOCK]).fetchall())


CASE = Case(
    question="Does one run start when the answer to the request for it is lost?",
    theme="Events",
    report="apache/airflow#66905",
    right=lambda observed: observed == {"parent": "success", "children": ["success"]},
    right_answer="The request is repeated, there is one run, and the run that asked for it succeeds.",
    expected={
        "airflow": Expected(
            "wrong", "The repeated request meets the run of the first one, and the operator fails: it is there already."
        ),
        "dagster": Expected(
            "wrong", "A request to launch a run has no key of its own, as a sensor's `run_key`, so the op starts two."
        ),
        "prefect": Expected(
            "wrong", "The client repeats the request by itself, and without an `idempotency_key` it is another run."
        ),
    },
    observe=observe,
    differs=(
        "The report drops an answer. So does the case on Dagster; on the two others, the API server dies after the "
        "commit, and is started again."
    ),
)
