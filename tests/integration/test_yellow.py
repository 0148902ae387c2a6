"""A schema holds one monthly dataset: yellow months go the same way as green ones, from the file to the marts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from core import datasets, digest, load, pipeline
from core.datasets import GREEN, YELLOW, ZONES, Dataset
from core.errors import NotPublished, SchemaDrift, UsageError
from core.extract import extract, sample
from core.load import Load
from core.month import Month, parse_months
from core.run import Receipt, Run
from core.transform import dbt, manifest, project
from tests.integration import loading, marts
from tests.integration.loading import MONTH, OTHER, SCHEMA, connect, relations, rows
from tests.integration.marts import Publisher, query
from tests.toy_dataset import TOY, write_models

ERAS = parse_months("2020-12,2023-01,2023-02,2025-01")
ROWS = 500
BOTH_SPELLINGS = parse_months("2023-01..2023-02")


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    """Green and yellow months of the same name side by side, and the lookup."""
    published = tmp_path / "published"
    sample.ensure(published, [MONTH, OTHER], rows=ROWS)
    sample.ensure(published, [*ERAS, MONTH, OTHER], rows=ROWS, cab="yellow")
    return published


def run(folder: Path, dataset: str = "yellow", **changes: object) -> Run:
    return dataclasses.replace(Run(str(folder), SCHEMA, loader="test", dataset=dataset), **changes)  # type: ignore[arg-type]


def ingest(folder: Path, month: Month = MONTH, dataset: str = "yellow", **changes: object) -> Receipt:
    return pipeline.ingest_month(run(folder, dataset, **changes), month)


def whole(of: Run, month: Month) -> list[Receipt]:
    """Run every step of a month."""
    steps = [pipeline.ingest_zones(of), pipeline.ingest_month(of, month)]
    if needed := bool(pipeline.pending(of, month)):
        steps += [pipeline.transform(of, month), pipeline.check(of, month)]
    return [*steps, pipeline.report(of, month, built=needed)]


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_a_yellow_month_of_every_era_is_loaded_value_for_value(folder: Path, warehouse: str, month: Month) -> None:
    receipt = ingest(folder, month)
    published = pq.read_table(folder / sample.file_name(month, "yellow"))
    assert (receipt.task, receipt.state, receipt.rows) == ("ingest_month", "success", published.num_rows)
    fee = next(name for name in published.column_names if name.lower() == "airport_fee")
    with connect(warehouse) as connection:
        found = connection.execute(
            f"SELECT airport_fee, passenger_count, payment_type FROM {SCHEMA}.raw_trips ORDER BY row_number".encode()
        ).fetchall()
    names = (fee, "passenger_count", "payment_type")
    assert found == list(zip(*(pc.cast(published[name], "double").to_pylist() for name in names), strict=True))


@pytest.mark.parametrize("strategy", ["swap", "delete-append", "overwrite", "upsert"])
def test_a_yellow_month_is_loaded_once_and_replaced_by_every_strategy(
    folder: Path, warehouse: str, strategy: str
) -> None:
    other, first = ingest(folder, OTHER), ingest(folder, strategy=strategy)
    before = rows(warehouse)
    assert (ingest(folder, strategy=strategy).state, rows(warehouse)) == ("unchanged", before)
    sample.write_month(folder / sample.file_name(MONTH, "yellow"), MONTH, seed=1, rows=ROWS, cab="yellow")
    second = ingest(folder, strategy=strategy)
    assert second.state == "success" and second.digest != first.digest
    assert len(rows(warehouse)) == (other.rows or 0) + (second.rows or 0)


def test_a_usage_error_is_one_line_before_anything_is_created(folder: Path, warehouse: str) -> None:
    for dataset, month in (("fhv", MONTH), ("yellow", None), ("zones", MONTH)):
        with pytest.raises(UsageError):
            pipeline.ingest(run(folder), dataset, month)
    with pytest.raises(UsageError, match="'fhv' is not a dataset"):
        pipeline.ingest_zones(run(folder, "fhv"))
    assert relations(warehouse) == set()
    with pytest.raises(NotPublished, match=r"no yellow_tripdata_2026-11\.parquet in"):
        ingest(folder, Month(2026, 11))


def test_a_yellow_file_is_not_a_green_one(folder: Path, warehouse: str) -> None:
    ingest(folder, dataset="green")
    before = rows(warehouse)
    (folder / sample.file_name(MONTH)).write_bytes((folder / sample.file_name(MONTH, "yellow")).read_bytes())
    with pytest.raises(SchemaDrift, match=r"'tpep_pickup_datetime', .* are not among those that green"):
        ingest(folder, dataset="green")
    assert rows(warehouse) == before


# --- one dataset a schema ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "other"), [("green", "yellow"), ("yellow", "green")])
def test_a_schema_refuses_another_dataset_before_anything_is_written(
    folder: Path, warehouse: str, held: str, other: str
) -> None:
    ingest(folder, dataset=held)
    before = (relations(warehouse), rows(warehouse), rows(warehouse, "load_ledger"))
    steps: list[Callable[[], Receipt]] = [
        lambda: ingest(folder, OTHER, other),
        lambda: ingest(folder, MONTH, other, force=True, accept_suspect=True),
        lambda: pipeline.ingest_zones(run(folder, other)),
    ]
    for step in steps:
        with pytest.raises(UsageError) as refused:
            step()
        assert str(refused.value) == (
            f"schema 'plain' holds {held}, and a schema holds one dataset: name another schema for {other}"
        )
    assert (relations(warehouse), rows(warehouse), rows(warehouse, "load_ledger")) == before
    assert ingest(folder, dataset=other, schema="elsewhere").state == "success"


def order(folder: Path, dataset: Dataset) -> Load:
    fence = load.begin(SCHEMA, dataset)
    return Load(SCHEMA, dataset, MONTH, extract(dataset, str(folder), MONTH), "swap", "test", "1", fence)


def test_of_two_that_begin_at_the_same_time_the_second_one_finds_no_table_of_its_own(
    folder: Path, warehouse: str
) -> None:
    """Neither has a row in the ledger yet."""
    yellow, green = order(folder, YELLOW), order(folder, GREEN)
    with pytest.raises(SchemaDrift, match="is not the table that green declares"):
        load.load(green)
    assert load.load(yellow).entry.row_count == len(rows(warehouse))


def test_the_columns_tell_which_dataset_a_table_is_of() -> None:
    """The check of the catalog relies on it: see the test above."""
    declared = [
        tuple((column.name, column.kind) for column in each.columns)
        for each in datasets.DATASETS.values()
        if each is not ZONES
    ]
    assert len(set(declared)) == len(declared)


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("warm_dbt")
def test_two_yellow_months_become_tested_marts(folder: Path, warehouse: str) -> None:
    """The fee is spelled differently in the two files, and is one column in the marts."""
    for month in BOTH_SPELLINGS:
        *_, checked, _ = whole(run(folder), month)
        assert (checked.task, checked.state) == ("check", "success")
        # The sample has as many of them in a small month as in a large one.
        assert [line.partition(" on ")[0] for line in checked.warnings] == ["pickups_outside_the_month_are_rare"]
    files = [pq.read_table(folder / sample.file_name(month, "yellow")) for month in BOTH_SPELLINGS]
    assert ["airport_fee" in file.column_names for file in files] == [True, False]
    fees = [
        value
        for file in files
        for name in file.column_names
        if name.lower() == "airport_fee"
        for value in file[name].to_pylist()
    ]
    found = query("SELECT airport_fee::float8 FROM {}.fct_trips ORDER BY source_month, row_number", SCHEMA)
    assert [fee for (fee,) in found] == fees
    assert query("SELECT sum(trips) FROM {}.daily_borough_stats", SCHEMA) == [(len(fees),)]
    columns = query("SELECT jsonb_object_keys(to_jsonb(t)) FROM (SELECT * FROM {}.fct_trips LIMIT 1) AS t", SCHEMA)
    assert {"ehail_fee", "trip_type"}.isdisjoint(name for (name,) in columns)
    with connect(warehouse) as connection:
        digests = {name: digest.table(connection, SCHEMA, name).hex[:10] for name in project.model_names("yellow")}
    assert digests == DIGESTS
    again = whole(run(folder), BOTH_SPELLINGS[0])
    assert [(step.task, step.state) for step in again] == [
        ("ingest_zones", "unchanged"), ("ingest_month", "unchanged"), ("report", "success")
    ]  # fmt: skip


DIGESTS = {
    "daily_borough_stats": "7076215fc2", "fct_trips": "2b0e6b33cd", "stg_trips": "ff6adc5dae",
    "stg_zones": "fa69530d55",
}  # fmt: skip
"""Of the models of both months: the same on every machine, and in every release."""


@pytest.mark.slow
@pytest.mark.usefixtures("warm_dbt")
def test_green_and_yellow_are_built_side_by_side(folder: Path, warehouse: str) -> None:
    whole(run(folder, "green"), MONTH)
    whole(run(folder, "yellow", schema="elsewhere"), MONTH)
    greens = query("SELECT count(*), count(trip_type) > 0 FROM {}.fct_trips", SCHEMA)
    assert greens == [(loading.count(warehouse), True)]
    assert query("SELECT count(airport_fee) > 0 FROM {}.fct_trips", "elsewhere") == [(True,)]


@pytest.mark.slow
def test_the_models_of_every_dataset_have_the_names_and_tests_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orchestrator that knows models and tests as its own reads them once, from the default dataset."""
    found = {}
    for dataset in datasets.monthly():
        environment = dbt.scratch_environment() | {"TRIPTYCH_DATASET": dataset}
        (folder := tmp_path / dataset).mkdir()
        assert dbt.run_cold(dbt.Command(["parse"], folder, environment)).returncode == 0
        models = manifest.models(json.loads((folder / "manifest.json").read_text()))
        tests = {
            (test.model, test.name, test.severity) for each in models for test in each.tests if test.kind == "data"
        }
        found[dataset] = ({each.name: each.depends_on for each in models}, tests)
        assert tuple(sorted(found[dataset][0])) == project.model_names(dataset)
    assert all(each == found["green"] for each in found.values())


def test_a_changed_model_of_one_dataset_is_no_reason_to_build_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = marts.project_copy(tmp_path, monkeypatch)
    before = {name: project.version(name) for name in datasets.monthly()}
    with (copy / "models" / "yellow" / "marts" / "fct_trips.sql").open("a") as file:
        file.write("-- changed")
    changed = {name for name in datasets.monthly() if project.version(name) != before[name]}
    assert changed == {"yellow"}


# --- a third dataset --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_third_dataset_is_a_declaration_and_its_models(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the orchestrators' forms offer it is in tests/native."""
    monkeypatch.setitem(datasets.DATASETS, TOY.name, TOY)
    write_models(marts.project_copy(tmp_path, monkeypatch))
    for month, price in ((MONTH, 1.0), (OTHER, 2.5)):
        noon = dt.datetime.combine(month.first_day, dt.time(12))
        table = pa.table({"began": pa.array([noon, noon], pa.timestamp("us")), "zone": [7, 265], "price": [price] * 2})
        pq.write_table(table, publisher.folder / f"toy_{month}.parquet")
        *_, checked, _ = whole(run(publisher.folder, TOY.name), month)
        assert (checked.task, checked.state) == ("check", "success")
    found = query("SELECT borough, sum(trips), sum(total_amount)::text FROM {}.daily_borough_stats GROUP BY 1", SCHEMA)
    assert sorted(found) == [("Outside of NYC", 2, "3.50"), ("Queens", 2, "3.50")]
    with pytest.raises(UsageError, match="schema 'plain' holds toy"):
        ingest(publisher.folder)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_commands_take_the_dataset(folder: Path, warehouse: str, tmp_path: Path) -> None:
    def triptych(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "core.lab.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    here = ("--on", "plain", "--source", str(folder))
    assert triptych("backfill", str(MONTH), *here, "--dataset", "yellow")[0] == 0
    code, said = triptych("parity", "--dataset", "yellow")
    assert (code, said.splitlines()[-1]) == (0, "as recorded: 6 tables in plain_yellow, nothing to compare with")
    code, said = triptych("ledger", "--dataset", "yellow")
    assert code == 0 and "yellow" in said and "green" not in said
    code, said = triptych("ledger", "--dataset", "green")
    assert (code, said) == (2, "triptych: nothing of green is loaded: run `triptych backfill` first\n")
    refusal = (
        "triptych: schema 'plain_yellow' holds yellow, and a schema holds one dataset: name another schema for green\n"
    )
    assert triptych("backfill", str(MONTH), *here, "--schema", "plain_yellow") == (2, refusal)
    started = ("run", "taxi_pipeline", "--on", "plain", "--month", str(OTHER), "--set", f"source={folder}")
    assert triptych(*started, "--set", "schema=plain_yellow") == (2, refusal)
    assert triptych(*started, "--set", "dataset=yellow")[0] == 0
    with connect(warehouse) as connection:
        connection.execute("DELETE FROM plain_yellow.raw_trips WHERE row_number = 7")
    code, said = triptych("parity", "--dataset", "yellow")
    remedy = f"`triptych backfill {MONTH}..{OTHER} --on plain --dataset yellow --force`"
    assert code == 1 and f"plain_yellow.raw_trips {MONTH}..{OTHER} is not what its ledger says: {remedy}" in said
