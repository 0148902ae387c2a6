"""Parity says what differs, where, and what is not there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from core import digest, ledger
from core.errors import UsageError
from core.lab import sample
from core.lab.display import parity_lines
from core.lab.parity import TABLES, Parity, compare, hold
from tests.integration.loading import MONTH, attempt, attempt_zones

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn) as connection:
        yield connection


def load(connection: Connection, *schemas: str) -> None:
    """The same small tables in every schema, two months of them, and a ledger that says so."""
    for schema in schemas:
        connection.execute(f"CREATE SCHEMA {schema}")
        for table in TABLES:
            columns = "source_month, n" if table not in ("raw_zones", "daily_borough_stats") else "n"
            rows = "VALUES (date '2024-01-01', 1), ('2024-01-01', 1), ('2024-02-01', 2)) AS t (source_month, n)"
            connection.execute(f"CREATE TABLE {schema}.{table} AS SELECT {columns} FROM ({rows}")
        ledger.create(connection, schema)
        contents = {
            "zones": digest.table(connection, schema, "raw_zones"),
            **digest.by_month(connection, schema, "raw_trips"),
        }
        for key, content in contents.items():
            dataset, month = ("zones", None) if key == "zones" else ("green", dt.date.fromisoformat(f"{key}-01"))
            facts = ("file", "sha256", 1, content.rows, content.hex, "declaration", "swap", schema, "run", 1, 1)
            ledger.write(connection, schema, ledger.Entry(dataset, month, *facts))
    connection.commit()


def parity(connection: Connection, *schemas: str) -> Parity:
    connection.commit()
    return compare(connection, schemas, "plain")


def test_equal_schemas_are_identical_and_the_control_comes_first(connection: Connection) -> None:
    load(connection, "airflow", "plain", "dagster")
    found = parity(connection, "airflow", "dagster", "plain", "prefect")
    assert (found.identical, found.golden, found.schemas) == (True, "plain", ["plain", "airflow", "dagster"])
    assert found.absent == ["prefect"]
    facts = found.to_json()
    assert facts["identical"] is True
    assert [table["table"] for table in facts["tables"]] == list(TABLES)
    assert facts["tables"][0]["plain"] == facts["tables"][0]["airflow"] != {}
    assert facts["tables"][0]["plain"]["rows"] == 3


@pytest.mark.parametrize(
    ("change", "months"),
    [
        ("UPDATE airflow.raw_trips SET n = 3 WHERE n = 2", ["2024-02"]),
        ("DELETE FROM airflow.raw_trips WHERE ctid = (SELECT min(ctid) FROM airflow.raw_trips)", ["2024-01"]),
        ("INSERT INTO airflow.raw_trips VALUES ('2024-03-01', 1)", ["2024-03"]),
        ("UPDATE airflow.raw_trips SET n = 3 - n", ["2024-01", "2024-02"]),
    ],
)
def test_the_months_that_differ_are_named(connection: Connection, change: str, months: list[str]) -> None:
    load(connection, "plain", "airflow")
    connection.execute(change)
    found = parity(connection, "plain", "airflow")
    assert not found.identical
    assert [(row.table, row.months) for row in found.differing] == [("raw_trips", {"airflow": months})]
    assert found.to_json()["differences"] == [{"table": "raw_trips", "schema": "airflow", "months": months}]


def test_a_table_that_is_not_kept_by_month_differs_as_a_whole(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("DELETE FROM airflow.raw_zones")
    assert [row.months for row in parity(connection, "plain", "airflow").differing] == [{"airflow": []}]


def test_a_missing_table_is_a_difference(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("DROP TABLE airflow.fct_trips")
    found = parity(connection, "plain", "airflow")
    assert [row.table for row in found.differing] == ["fct_trips"]
    assert {table["table"]: table["airflow"] for table in found.to_json()["tables"]}["fct_trips"] is None


def test_without_the_control_the_first_is_golden(connection: Connection) -> None:
    load(connection, "airflow", "dagster")
    assert parity(connection, "plain", "airflow", "dagster").golden == "airflow"


def test_one_schema_alone_is_identical_to_nothing(connection: Connection) -> None:
    load(connection, "plain")
    assert not parity(connection, "plain", "airflow").identical


def test_a_schema_that_is_named_twice_is_not_compared_with_itself(connection: Connection) -> None:
    load(connection, "plain")
    found = parity(connection, "plain", "plain")
    assert (found.schemas, found.identical) == (["plain"], False)


def test_what_was_not_asked_for_is_not_called_missing(connection: Connection) -> None:
    load(connection, "plain", "airflow", "dagster")
    assert next(iter(parity_lines(parity(connection, "airflow", "dagster"), "plain"))) == "compared with airflow"
    connection.rollback()
    connection.execute("DROP SCHEMA plain CASCADE")
    line = next(iter(parity_lines(parity(connection, "plain", "airflow"), "plain")))
    assert line == "there is no schema plain, the golden run: compared with airflow"


def test_a_load_that_comes_meanwhile_waits(connection: Connection, dsn: str) -> None:
    """Else its rows would be seen, because they are frozen, and the ledger's row of them would not."""
    load(connection, "plain", "airflow")
    hold(connection, ["plain"])
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SET lock_timeout = '50ms'")
        for table in ("raw_trips", "daily_borough_stats", "load_ledger"):
            with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
                other.execute(f"LOCK TABLE plain.{table} IN ACCESS EXCLUSIVE MODE".encode())
        other.execute("DELETE FROM plain.raw_zones")
    assert connection.execute("SELECT count(*) FROM plain.raw_zones").fetchone() == (0,), "the snapshot came after"


def test_nothing_loaded_is_said(connection: Connection) -> None:
    with pytest.raises(UsageError, match="nothing is loaded"):
        parity(connection, "plain", "airflow")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE plain.raw_trips SET fare_amount = -fare_amount WHERE row_number = 1", ["plain.raw_trips 2024-01"]),
        ("DELETE FROM plain.raw_trips", ["plain.raw_trips 2024-01"]),
        ("DELETE FROM plain.load_ledger WHERE month IS NOT NULL", ["plain.raw_trips 2024-01"]),
        ("UPDATE plain.raw_zones SET zone = NULL WHERE location_id = 1", ["plain.raw_zones"]),
        ("UPDATE plain.load_ledger SET fence = fence + 1", []),
        ("DROP TABLE plain.load_ledger", ["plain.raw_trips 2024-01", "plain.raw_zones"]),
    ],
)
def test_a_table_that_is_not_what_its_ledger_says_is_named(
    tmp_path: Path, warehouse: str, damage: str, found: list[str]
) -> None:
    sample.ensure(tmp_path, [MONTH], rows=500)
    attempt_zones(tmp_path)
    attempt(tmp_path)
    with psycopg.connect(warehouse) as connection:
        assert parity(connection, "plain").unrecorded == []
        connection.rollback()
        connection.execute(damage.encode())
        compared = parity(connection, "plain")
    assert compared.unrecorded == compared.to_json()["unrecorded"] == found
    assert [line for line in parity_lines(compared, "plain") if "ledger" in line] == [
        f"{what} is not what its ledger says: load it again with --force" for what in found
    ]


def test_a_ledger_that_is_wrong_in_every_schema_alike_is_no_parity(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    identical = parity(connection, "plain", "airflow")
    assert identical.identical
    assert not replace(identical, unrecorded=["plain.raw_trips 2024-01"]).identical
