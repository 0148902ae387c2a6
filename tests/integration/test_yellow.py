"""A second monthly dataset is loaded next to the first one, by the same code, and disturbs nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from core import database, pipeline
from core.datasets import YELLOW
from core.errors import NotPublished, SchemaDrift, UsageError
from core.extract import sample
from core.month import Month, parse_months
from core.run import Receipt, Run
from core.settings import ROOT
from core.transform import build
from tests.integration import loading
from tests.integration.loading import MONTH, SCHEMA, connect, relations, rows

ERAS = parse_months("2020-12,2023-01,2023-02,2025-01")
ROWS = 500
TABLE = YELLOW.table


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    """Green and yellow months of the same name side by side, and the lookup."""
    published = tmp_path / "published"
    sample.ensure(published, [MONTH], rows=ROWS)
    sample.ensure(published, ERAS, rows=ROWS, cab="yellow")
    sample.ensure(published, [MONTH], rows=ROWS, cab="yellow")
    return published


def ingest(folder: Path, month: Month | None = MONTH, dataset: str = "yellow", **changes: object) -> Receipt:
    run = dataclasses.replace(Run(str(folder), SCHEMA, loader="test"), **changes)  # type: ignore[arg-type]
    return pipeline.ingest(run, dataset, month)


def ledger(dsn: str) -> dict[tuple[str, str], tuple[int, str]]:
    """Dataset and month -> rows and digest."""
    with connect(dsn) as connection:
        query = f"SELECT dataset, month::text, row_count, content_digest FROM {SCHEMA}.load_ledger"
        return {(name, month): (count, digest) for name, month, count, digest in connection.execute(query.encode())}


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_a_yellow_month_of_every_era_is_loaded_value_for_value(folder: Path, warehouse: str, month: Month) -> None:
    receipt = ingest(folder, month)
    published = pq.read_table(folder / sample.file_name(month, "yellow"))
    assert (receipt.task, receipt.state, receipt.rows) == ("ingest_month", "success", published.num_rows)
    fee = next(name for name in published.column_names if name.lower() == "airport_fee")
    with connect(warehouse) as connection:
        query = f"SELECT airport_fee, passenger_count, payment_type FROM {SCHEMA}.{TABLE} ORDER BY row_number"
        found = connection.execute(query.encode()).fetchall()
    names = (fee, "passenger_count", "payment_type")
    assert found == list(zip(*(pc.cast(published[name], "double").to_pylist() for name in names), strict=True))


def test_the_same_bytes_are_loaded_once(folder: Path, warehouse: str) -> None:
    first = ingest(folder)
    before = rows(warehouse, TABLE)
    again = ingest(folder)
    assert (again.state, again.digest) == ("unchanged", first.digest)
    assert rows(warehouse, TABLE) == before


@pytest.mark.parametrize("strategy", ["swap", "delete-append"])
def test_a_yellow_month_is_replaced_beside_green_ones(folder: Path, warehouse: str, strategy: str) -> None:
    green = ingest(folder, dataset="green")
    others = [ingest(folder, month) for month in ERAS[:2]]
    first = ingest(folder, strategy=strategy)
    green_rows = rows(warehouse)
    sample.write_month(folder / sample.file_name(MONTH, "yellow"), MONTH, seed=1, rows=ROWS, cab="yellow")
    second = ingest(folder, strategy=strategy)
    assert second.state == "success" and second.digest != first.digest
    assert rows(warehouse) == green_rows
    expected = {
        ("green", MONTH): green,
        **{("yellow", m): r for m, r in zip(ERAS[:2], others, strict=True)},
        ("yellow", MONTH): second,
    }
    assert ledger(warehouse) == {(name, str(m.first_day)): (r.rows, r.digest) for (name, m), r in expected.items()}
    assert len(rows(warehouse, TABLE)) == sum(r.rows or 0 for r in (*others, second))


def test_a_schema_of_green_has_no_yellow_table(folder: Path, warehouse: str) -> None:
    ingest(folder, dataset="green")
    pipeline.ingest_zones(Run(str(folder), SCHEMA, loader="test"))
    assert not any("yellow" in name for name in relations(warehouse))
    ingest(folder)
    assert {TABLE, f"{TABLE}_2024_01"} <= relations(warehouse)
    assert ingest(folder, dataset="green").state == "unchanged"


def test_a_yellow_month_alone_makes_what_the_models_read_too(folder: Path, warehouse: str) -> None:
    """A schema that began with yellow is like any other."""
    ingest(folder)
    assert {"raw_trips", "raw_zones", "load_ledger", TABLE} <= relations(warehouse)


def test_a_yellow_file_is_not_a_green_one(folder: Path, warehouse: str) -> None:
    ingest(folder, dataset="green")
    before = rows(warehouse)
    (folder / sample.file_name(MONTH)).write_bytes((folder / sample.file_name(MONTH, "yellow")).read_bytes())
    with pytest.raises(SchemaDrift, match=r"'tpep_pickup_datetime', .* are not among those that green"):
        ingest(folder, dataset="green")
    assert rows(warehouse) == before


def test_a_usage_error_is_one_line_before_anything_is_created(folder: Path, warehouse: str) -> None:
    for dataset, month in (("fhv", MONTH), ("yellow", None), ("zones", MONTH)):
        with pytest.raises(UsageError):
            ingest(folder, month, dataset)
    assert relations(warehouse) == set()
    with pytest.raises(NotPublished, match=r"no yellow_tripdata_2026-11\.parquet in"):
        ingest(folder, Month(2026, 11))


def test_ingest_month_loads_green(folder: Path, warehouse: str) -> None:
    receipt = pipeline.ingest_month(Run(str(folder), SCHEMA, loader="test"), MONTH)
    assert receipt.rows == loading.count(warehouse, MONTH)


def test_a_yellow_month_is_no_reason_to_build_the_models(folder: Path, warehouse: str) -> None:
    ingest(folder, dataset="green")
    ingest(folder)
    with database.connect("test") as connection:
        plan = build._plan(connection, SCHEMA, None)
    assert {name for name, _ in plan.versions} == {"project", "green", "zones"}


def test_the_program_that_the_readme_names_loads_a_yellow_month(folder: Path, warehouse: str) -> None:
    call = 'ingest(Run(source, schema, loader=loader), "yellow", month)'
    assert call in (ROOT / "README.md").read_text().replace("\n", " ")
    program = (
        "import sys; from core.month import Month; from core.pipeline import ingest; from core.run import Run;"
        f"source, schema, loader, month = sys.argv[1], 'mine', 'me', Month(2024, 1); {call}"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, timeout=300)
    assert len(rows(warehouse, TABLE, "mine")) == pq.read_metadata(folder / sample.file_name(MONTH, "yellow")).num_rows
