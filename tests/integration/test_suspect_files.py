"""Suspect files are refused before publication, or published with a warning if the user insists.

What the file alone or the set of files can tell is refused; what only history can tell is loaded, with a warning.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from core import load, pipeline
from core.datasets import YELLOW
from core.errors import SuspectFile
from core.extract import sample
from core.month import Month
from core.run import STRATEGIES, Receipt, Run
from tests.integration import loading
from tests.integration.loading import (
    MONTH,
    OTHER,
    SCHEMA,
    connect,
    count,
    held,
    ledger,
    relations,
    rows,
    running,
    waiting,
)

THIRD = Month(2024, 3)
NAME, OTHER_NAME = sample.file_name(MONTH), sample.file_name(OTHER)
ADVICE = "; fetch it again from the publisher, or publish it as it is with --accept-suspect"


def ingest(folder: Path, month: Month | None = MONTH, dataset: str = "green", **changes: Any) -> Receipt:
    """Run the step as every orchestrator does; without a month, for the lookup."""
    run = Run(str(folder), SCHEMA, loader="test", **changes)
    return pipeline.ingest(run, dataset if month else "zones", month)


def refusal(step: Callable[[], object]) -> str:
    """Return the line that refuses a file, without its advice."""
    with pytest.raises(SuspectFile) as caught:
        step()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400
    assert message.endswith(ADVICE)
    return message.removesuffix(ADVICE)


def state(dsn: str) -> tuple[Any, ...]:
    return rows(dsn), rows(dsn, "raw_zones"), ledger(dsn), relations(dsn)


# --- another month's rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("loaded", [False, True], ids=["new", "loaded"])
def test_the_bytes_of_another_month_are_refused(folder: Path, warehouse: str, strategy: str, loaded: bool) -> None:
    write_clean(folder, MONTH)
    ingest(folder)
    if loaded:
        ingest(folder, OTHER)
    shutil.copy(folder / NAME, folder / OTHER_NAME)
    before = state(warehouse)
    line = refusal(lambda: ingest(folder, OTHER, strategy=strategy))
    assert line == f"{OTHER_NAME}: all 40 rows are of 2024-01, not of 2024-02; same bytes as {NAME}"
    assert state(warehouse) == before


def test_a_month_of_another_is_refused_by_its_rows_alone(folder: Path, warehouse: str) -> None:
    """Nothing else is loaded, and the order of the two does not matter."""
    write_clean(folder, MONTH)
    shutil.copy(folder / NAME, folder / OTHER_NAME)
    assert refusal(lambda: ingest(folder, OTHER)) == f"{OTHER_NAME}: all 40 rows are of 2024-01, not of 2024-02"
    assert rows(warehouse) == []
    assert ingest(folder).state == "success"
    assert refusal(lambda: ingest(folder, OTHER)).endswith(f"not of 2024-02; same bytes as {NAME}")


def test_the_right_month_is_not_refused_because_the_wrong_one_was_first(folder: Path, warehouse: str) -> None:
    write_clean(folder, MONTH)
    shutil.copy(folder / NAME, folder / OTHER_NAME)
    assert ingest(folder, OTHER, accept_suspect=True).warnings == (
        f"{OTHER_NAME}: all 40 rows are of 2024-01, not of 2024-02",
    )
    right = ingest(folder)
    assert (right.state, right.warnings) == ("success", ())
    assert count(warehouse, OTHER) == count(warehouse, MONTH) == 40


def write_clean(folder: Path, month: Month, *others: Month, of: sample.Cab = "green") -> None:
    """Publish `month`: twenty rows of it, and twenty of each other month, or twenty more of its own."""
    parts = []
    for each in (month, *(others or [month])):
        table = sample.table(each, rows=500, cab=of)
        pickups = table["lpep_pickup_datetime" if of == "green" else "tpep_pickup_datetime"].to_pylist()
        kept = [i for i, when in enumerate(pickups) if (when.year, when.month) == (each.year, each.number)]
        parts.append(table.take(kept[:20]))
    pq.write_table(pa.concat_tables(parts), folder / sample.file_name(month, of))


@pytest.mark.parametrize(("others", "refused"), [([OTHER], False), ([OTHER, OTHER], True), ([OTHER, THIRD], True)])
def test_most_rows_decide(folder: Path, warehouse: str, others: list[Month], refused: bool) -> None:
    write_clean(folder, MONTH, *others)
    if not refused:
        assert ingest(folder).warnings == ()
        return
    rest = 20 * others.count(OTHER)
    assert refusal(lambda: ingest(folder)) == f"{NAME}: 40 of 60 rows are not of 2024-01, and {rest} are of 2024-02"


def test_a_file_of_several_other_months_is_refused(folder: Path, warehouse: str) -> None:
    write_clean(folder, OTHER, OTHER, THIRD)
    shutil.move(folder / OTHER_NAME, folder / NAME)
    assert refusal(lambda: ingest(folder)) == f"{NAME}: none of the 60 rows is of 2024-01, and 40 are of 2024-02"


@pytest.mark.parametrize("year", [1, 2008, 2077, 9999])
def test_rows_from_clocks_that_were_reset_are_not_suspect(folder: Path, warehouse: str, year: int) -> None:
    table = sample.table(MONTH, rows=500)
    pickups = table["lpep_pickup_datetime"].to_pylist()
    pickups[:5] = [when.replace(year=year, month=1, day=1) for when in pickups[:5]]
    values = pa.array(pickups, pa.timestamp("us"))
    pq.write_table(table.set_column(1, "lpep_pickup_datetime", values), folder / NAME)
    assert ingest(folder).warnings == ()


@pytest.mark.parametrize("month", [Month(2023, 12), Month(2024, 2), Month(2023, 2)], ids=str)
def test_the_ends_of_a_month_are_its_own(folder: Path, warehouse: str, month: Month) -> None:
    write_clean(folder, month)
    assert ingest(folder, month).warnings == ()


def test_a_yellow_month_is_checked_too(folder: Path, warehouse: str) -> None:
    write_clean(folder, MONTH, of="yellow")
    shutil.copy(folder / sample.file_name(MONTH, "yellow"), folder / sample.file_name(OTHER, "yellow"))
    assert "all 40 rows are of 2024-01, not of 2024-02" in refusal(lambda: ingest(folder, OTHER, "yellow"))
    assert rows(warehouse, YELLOW.table) == []


def test_every_real_month_is_its_own(real_data: Path, warehouse: str) -> None:
    for path in sorted((real_data / "green").glob("*.parquet")):
        receipt = ingest(path.parent, Month.parse(path.stem[-7:]))
        assert (receipt.state, receipt.warnings) == ("success", ())


# --- no rows, and fewer rows ------------------------------------------------------------------------------------------


def write_rows(folder: Path, number: int) -> None:
    pq.write_table(sample.table(MONTH, rows=500).slice(0, number), folder / NAME)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_month_without_rows_is_refused(folder: Path, warehouse: str, strategy: str) -> None:
    ingest(folder)
    before = state(warehouse)
    write_rows(folder, 0)
    assert refusal(lambda: ingest(folder, strategy=strategy)) == f"{NAME} has no rows"
    assert state(warehouse) == before
    insisted = ingest(folder, strategy=strategy, accept_suspect=True)
    assert (insisted.state, insisted.rows, count(warehouse, MONTH)) == ("success", 0, 0)
    assert insisted.warnings[0] == f"{NAME} has no rows"
    assert ingest(folder, strategy=strategy).state == "unchanged"


def test_a_month_that_shrinks_is_loaded_with_a_warning(folder: Path, warehouse: str) -> None:
    write_rows(folder, 400)
    assert ingest(folder).warnings == ()
    write_rows(folder, 200)
    assert ingest(folder).warnings == ()
    write_rows(folder, 99)
    receipt = ingest(folder)
    assert (receipt.state, receipt.rows) == ("success", 99)
    assert receipt.warnings == (f"{NAME} has 99 rows, and 200 were loaded before",)
    assert receipt.to_json()["warnings"] == list(receipt.warnings)
    write_rows(folder, 500)
    assert ingest(folder).warnings == ()


# --- the lookup -------------------------------------------------------------------------------------------------------


def cut(folder: Path, *gone: int, all_of_them: bool = False) -> None:
    """Publish the lookup without some of its zones."""
    header, *lines = (folder / sample.ZONES).read_text().splitlines(keepends=True)
    kept = [] if all_of_them else [line for line in lines if int(line.split(",")[0]) not in gone]
    (folder / sample.ZONES).write_text("".join([header, *kept]))


def used(dsn: str, month: Month, *zones: int) -> int:
    query = sql.SQL(
        "SELECT count(*) FROM {} WHERE source_month = {} "
        "AND {}::integer[] && ARRAY[pickup_location_id, dropoff_location_id]"
    )
    with connect(dsn) as connection:
        words = sql.Identifier(SCHEMA, "raw_trips"), sql.Literal(month.first_day), sql.Literal(list(zones))
        return int(connection.execute(query.format(*words)).fetchall()[0][0])


@pytest.mark.parametrize("loaded", [False, True], ids=["new", "loaded"])
def test_a_lookup_without_rows_is_refused(folder: Path, warehouse: str, loaded: bool) -> None:
    if loaded:
        for month in (None, MONTH, OTHER):
            ingest(folder, month)
    else:
        load.begin(SCHEMA)
    before = state(warehouse)
    cut(folder, all_of_them=True)
    line = refusal(lambda: ingest(folder, None))
    numbers = [count(warehouse, month) for month in (MONTH, OTHER)]
    expected = (
        f"; loaded rows that need what is gone: {sum(numbers):,}, in 2024-01 ({numbers[0]}), 2024-02 ({numbers[1]})"
    )
    assert line == f"{sample.ZONES} has no rows{expected if loaded else ''}"
    assert state(warehouse) == before
    insisted = ingest(folder, None, accept_suspect=True)
    assert (insisted.rows, insisted.warnings) == (0, (line,))


def test_a_lookup_that_drops_a_zone_in_use_is_refused(folder: Path, warehouse: str) -> None:
    for month in (None, MONTH, OTHER):
        ingest(folder, month)
    before = state(warehouse)
    cut(folder, 74, 75)
    numbers = [used(warehouse, month, 74, 75) for month in (MONTH, OTHER)]
    assert refusal(lambda: ingest(folder, None)) == (
        f"{sample.ZONES} lacks location_id 74, 75; loaded rows that need what is gone: {sum(numbers):,}, in "
        f"2024-01 ({numbers[0]}), 2024-02 ({numbers[1]})"
    )
    assert state(warehouse) == before
    insisted = ingest(folder, None, accept_suspect=True)
    assert insisted.rows == 263 and "lacks location_id 74, 75" in insisted.warnings[0]
    assert ingest(folder, None).state == "unchanged"


def test_a_lookup_may_drop_a_zone_that_no_row_uses(folder: Path, warehouse: str) -> None:
    ingest(folder, None)
    cut(folder, 74, 75)
    receipt = ingest(folder, None)
    assert (receipt.state, receipt.rows, receipt.warnings) == ("success", 263, ())
    sample.write_zones(folder / sample.ZONES)
    assert ingest(folder, None).rows == 265


def test_a_line_of_many_months_and_zones_stays_short(folder: Path, warehouse: str) -> None:
    months = [Month(2023, number) for number in range(1, 13)]
    for month in months:
        write_clean(folder, month)
        ingest(folder, month)
    ingest(folder, None)
    cut(folder, *range(1, 200))
    line = refusal(lambda: ingest(folder, None))
    assert "2023-01 (" in line and line.endswith(" and 6 more") and line.count(" more") == 2


@pytest.mark.parametrize("first", ["zones", "month"])
def test_a_lookup_and_a_month_that_are_loaded_at_once_do_not_block_each_other(
    folder: Path, warehouse: str, first: str
) -> None:
    """One reads the trips and the other swaps them: a lock that is held until the commit only delays the other."""
    for month in (None, MONTH, OTHER):
        ingest(folder, month)
    cut(folder, 74, 75)
    loading.write(folder, MONTH, seed=1)
    steps = [lambda: ingest(folder, None, accept_suspect=True), lambda: ingest(folder)]
    with held(warehouse) as holder, running(*(steps if first == "zones" else reversed(steps))) as futures:
        waiting(warehouse, 2)
        holder.execute("COMMIT")
        assert [future.result(loading.WAIT_S).state for future in futures] == ["success", "success"]


# --- a schema that was made when VendorID was never NULL --------------------------------------------------------------


def without_vendor(folder: Path) -> None:
    table = sample.table(MONTH, rows=500)
    pq.write_table(table.set_column(0, "VendorID", pa.nulls(table.num_rows, pa.int64())), folder / NAME)


def make_required(dsn: str) -> None:
    """Add NOT NULL as earlier versions did: to the table, and to each partition by itself."""
    with connect(dsn) as connection:
        tables = [name for name in relations(dsn) if name.startswith("raw_trips")]
        for name in sorted(tables, reverse=True):
            statement = sql.SQL("ALTER TABLE {} ALTER vendor_id SET NOT NULL")
            connection.execute(statement.format(sql.Identifier(SCHEMA, name)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_month_without_vendors_is_loaded_into_an_older_schema(folder: Path, warehouse: str, strategy: str) -> None:
    for month in (MONTH, OTHER):
        ingest(folder, month)
    make_required(warehouse)
    without_vendor(folder)
    assert ingest(folder, strategy=strategy).state == "success"
    with connect(warehouse) as connection:
        query = f"SELECT count(*) FROM {SCHEMA}.raw_trips WHERE source_month = '2024-01-01' AND vendor_id IS NULL"
        assert connection.execute(query.encode()).fetchall() == [(count(warehouse, MONTH),)]
