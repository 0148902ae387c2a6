"""The contrast: drills on the usual pattern, on an orchestrator that reruns a task whose process it has lost.

A month is deleted by its pickups and its file is appended (`tests.faults.drills.subjects.usual`), so a file's rows of
other months are lost without any drill. The damage is counted as multisets of rows, against the union of the files:
after the backfill that was disturbed, and again after the same command has run once more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from benchmarks.harness.measure import Row
from core.lab.protocol import BackfillRequest
from core.lab.registry import Orchestrator, orchestrators
from tests.faults.drills import row
from tests.faults.drills.drill import JOBS, DrillError, Ground, clean_up, disturbed, services_of, stuck
from tests.faults.drills.phases import Hold, held
from tests.faults.drills.plan import Drill
from tests.faults.drills.subjects.usual import work
from tests.faults.drills.subjects.usual.pipelines import USUAL_MONTH
from tests.faults.drills.watch import Watch

SUBJECTS = "tests.faults.drills.subjects"
"""The package with the pipeline of the usual pattern."""


class AppendHold(Hold):
    """Holds each append: it takes a number from the table's sequence for each row, which a delete does not."""

    def take(self) -> None:
        """Take the lock of the sequence, as an ALTER SEQUENCE that has not ended holds it."""
        sequence = sql.Identifier(self.schema, "trips_id_seq")
        self._hold(sql.SQL("ALTER SEQUENCE {} CACHE 1").format(sequence))

    def _is_recorded(self, watch: Watch) -> bool:
        """Return whether the orchestrator's own record says that the month runs: of this pipeline it names no step."""
        last = watch.last(self.month)
        return last is not None and last.state == "running"


@dataclass(frozen=True)
class Damage:
    """What differs from the published files."""

    lost: int
    """Published rows that the table lacks."""
    extra: int
    """Rows that it has once too often."""


def carry_out(ground: Ground, drill: Drill) -> Row:
    """Carry out one drill on the usual pattern, and return its row."""
    bench, began = ground.bench, time.monotonic()
    orchestrator = orchestrators(bench.lab.settings)[drill.orchestrator]
    schema = bench.schema()
    _create(ground, schema)
    services = services_of(bench, orchestrator, drill)
    request = _request(ground, schema)
    course = disturbed(ground, drill, orchestrator, request, services, partial(held, kind=AppendHold))
    then = damage(ground, schema)
    course.stuck = stuck(ground, orchestrator)
    clean_up(ground, orchestrator, request, course)
    again = damage(ground, schema)
    course.identical = again == Damage(0, 0)
    return {
        **row.row(drill, course),
        "seconds": round(time.monotonic() - began, 1),
        "saw": [],
        "months": len(ground.months),
        "lost_rows": then.lost,
        "extra_rows": then.extra,
        "lost_rows_again": again.lost,
        "extra_rows_again": again.extra,
    }


def undisturbed(ground: Ground, orchestrator: Orchestrator) -> Damage:
    """Return the damage of one backfill without any drill."""
    schema = ground.bench.schema()
    _create(ground, schema)
    result = ground.bench.lab.backfill(orchestrator, _request(ground, schema))
    if result.status != "success":
        raise DrillError(f"{orchestrator.name}: {[month.error for month in result.months if month.error]}")
    return damage(ground, schema)


def damage(ground: Ground, schema: str) -> Damage:
    """Return how many published rows are missing from the table, and how many rows it has too many."""
    names = sql.SQL(", ").join(map(sql.Identifier, _columns(ground)))
    query = sql.SQL("SELECT count(*) FROM (SELECT {names} FROM {} EXCEPT ALL SELECT {names} FROM {}) AS t")
    published, trips = (sql.Identifier(schema, name) for name in ("published", "trips"))
    with ground.bench.connect() as connection:
        lost, extra = (
            int(str(connection.execute(query.format(*pair, names=names)).fetchall()[0][0]))
            for pair in ((published, trips), (trips, published))
        )
    return Damage(lost, extra)


def _request(ground: Ground, schema: str) -> BackfillRequest:
    values = {"source": str(ground.source), "schema": schema}
    return BackfillRequest(list(ground.months), "", "", jobs=JOBS, pipeline=USUAL_MONTH.name, values=values)


def _columns(ground: Ground) -> list[str]:
    return work.columns(work.file_of(str(ground.source), ground.months[0]))


def _create(ground: Ground, schema: str) -> None:
    """Create the table, and one with all that is published."""
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in _columns(ground))
    with ground.bench.connect() as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for name in ("trips", "published"):
            table = sql.Identifier(schema, name)
            connection.execute(sql.SQL("CREATE TABLE {} (id bigserial, {})").format(table, columns))
        for month in ground.months:
            work.append_to(connection, str(ground.source), schema, month, "published")
