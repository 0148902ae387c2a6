"""The case: a month without rows ends as a recorded month of zero rows, and a column of NULLs arrives as NULLs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from core.extract import sample
from core.lab.protocol import RunRecord
from core.month import Month
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import states
from tests.questions.asking import Asking

PIPELINE = "empty_month"

EMPTY, WITHOUT_FEE = "2024-01", "2024-02"

FEE = "congestion_surcharge"


def observe(asking: Asking) -> Observed:
    """Load a month without rows, refused and then accepted, and one whose fee has no type and no value."""
    folder, schema = asking.bench.copy_of(asking.bench.folder), asking.bench.schema()
    rows = publish(folder)
    refused = load(asking, folder, schema, EMPTY, accept=False)
    unrecorded = EMPTY not in asking.bench.ledger(schema)
    empty = load(asking, folder, schema, EMPTY, accept=True)
    without = load(asking, folder, schema, WITHOUT_FEE, accept=False)
    found = asking.bench.ledger(schema)
    return {
        "refused": {"run": refused.state, **states(refused), "recorded": not unrecorded},
        "accepted": {"run": empty.state, **states(empty), "rows": found[EMPTY].row_count if EMPTY in found else None},
        "without fee": {"run": without.state, **states(without), "rows": rows, "NULLs": nulls(asking, schema)},
    }


def publish(folder: Path) -> int:
    """Write the two files in place of the months that are there, and return how many rows the second one has."""
    empty, without = (folder / sample.file_name(Month.parse(month)) for month in (EMPTY, WITHOUT_FEE))
    pq.write_table(pq.read_table(empty).slice(0, 0), empty)
    table = pq.read_table(without)
    pq.write_table(table.set_column(table.column_names.index(FEE), FEE, pa.nulls(table.num_rows)), without)
    return int(table.num_rows)


def load(asking: Asking, folder: Path, schema: str, month: str, accept: bool) -> RunRecord:
    """Load a month, and return its run."""
    return asking.run(PIPELINE, {"source": str(folder), "tables": schema, "month": month, "accept": accept})


def nulls(asking: Asking, schema: str) -> int:
    """Return how many trips have no fee."""
    with asking.bench.connect() as connection:
        query = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL")
        row = connection.execute(query.format(sql.Identifier(schema, "raw_trips"), sql.Identifier(FEE))).fetchone()
    return int(str(row[0])) if row else 0


BOTH = {"load": "success", "build": "success"}


def right(observed: Observed) -> bool:
    """Return whether nobody was told less than what happened."""
    refused, without = observed["refused"], observed["without fee"]
    return (
        (refused["run"], refused["load"], refused["recorded"]) == ("failed", "failed", False)
        and observed["accepted"] == {"run": "success", **BOTH, "rows": 0}
        and without == {"run": "success", **BOTH, "rows": without["rows"], "NULLs": without["rows"]}
    )


CASE = Case(
    question="Does a month without rows end red until somebody accepts it, and then green, with zero rows on record?",
    theme="Empty data",
    report="apache/arrow-adbc#2071",
    right=right,
    right_answer=(
        "Refused, the run fails and nothing is recorded; accepted, no step is skipped, and the month is recorded with "
        "zero rows. A month whose fee has the type null has NULL in every row."
    ),
    expected={
        "airflow": Expected("right", "A task that returns has succeeded, whatever it returns."),
        "dagster": Expected("right", "An op that returns has succeeded, whatever it returns."),
        "prefect": Expected("right", "A task that returns has succeeded, whatever it returns."),
    },
    observe=observe,
    differs="The report is of a driver that this pipeline does not use; the case asks what the steps of it do.",
)
