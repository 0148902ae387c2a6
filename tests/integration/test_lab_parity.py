"""Parity says what differs, where, and what is missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from core import digest, ledger, pipeline, transform
from core.errors import UsageError
from core.extract import sample
from core.lab import audit
from core.lab.display import parity_lines
from core.lab.parity import Parity, compare
from core.lab.relations import hold
from core.lab.scope import TABLES, Scope
from core.month import parse_months
from core.run import Run
from core.transform import marts, pending
from tests.integration.loading import MONTH, attempt, attempt_zones

ROWS = """VALUES (date '2024-01-01', date '2024-01-31', 1), ('2024-01-01', '2024-01-31', 1),
                 ('2024-02-01', '2024-02-29', 2), ('2024-02-01', '2008-12-31', 3))
          AS t (source_month, pickup_date, n)"""

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def connection(warehouse: str) -> Iterator[Connection]:
    with psycopg.connect(warehouse) as connection:
        yield connection


def load(connection: Connection, *schemas: str) -> None:
    """The same small tables in every schema, two months of them, and ledgers that say so."""
    for schema in schemas:
        connection.execute(f"CREATE SCHEMA {schema}")
        for table in TABLES:
            columns = {"raw_zones": "n", "daily_borough_stats": "pickup_date, n"}.get(
                table, "source_month, pickup_date, n"
            )
            connection.execute(f"CREATE TABLE {schema}.{table} AS SELECT {columns} FROM ({ROWS}".encode())
        ledger.create(connection, schema)
        contents = {
            "zones": digest.table(connection, schema, "raw_zones"),
            **digest.by_month(connection, schema, "raw_trips"),
        }
        for key, content in contents.items():
            dataset, month = ("zones", None) if key == "zones" else ("green", dt.date.fromisoformat(f"{key}-01"))
            facts = ("file", "sha256", 1, content.rows, content.hex, "declaration", "swap", schema, "run", 1, 1)
            ledger.write(connection, schema, ledger.Entry(dataset, month, *facts))
        build(connection, schema)
    connection.commit()


def build(connection: Connection, schema: str, *, record: bool = True) -> None:
    """Record that the marts are what a build of all that is loaded left; without `record`, that there are none."""
    pending.create_ledger(connection, schema)
    marts.create_ledger(connection, schema)
    pending.write_versions(connection, schema, transform.loaded_versions(connection, schema))
    for mart in marts.MARTS if record else ():
        marts.record(connection, schema, mart, None, marts.digests(connection, schema, mart))


def parity(connection: Connection, *schemas: str, tables: str = "", months: str = "") -> Parity:
    connection.commit()
    scope = Scope(tables.split() or None, parse_months(months) if months else None)
    return compare(connection, schemas, "plain", scope)


def test_equal_schemas_are_identical_and_the_baseline_comes_first(connection: Connection) -> None:
    load(connection, "airflow", "plain", "dagster")
    found = parity(connection, "airflow", "dagster", "plain", "prefect")
    assert (found.identical, found.baseline, found.schemas) == (True, "plain", ["plain", "airflow", "dagster"])
    assert found.absent == ["prefect"]
    facts = found.to_json()
    assert facts["identical"] is True
    assert [table["table"] for table in facts["tables"]] == list(TABLES)
    assert facts["tables"][0]["schemas"]["plain"] == facts["tables"][0]["schemas"]["airflow"]
    assert facts["tables"][0]["schemas"]["plain"]["rows"] == 4
    assert (facts["as_recorded"], facts["findings"]) == (True, [])
    assert list(parity_lines(found, "plain"))[-1] == "identical: 6 tables in 3 schemas"


@pytest.mark.parametrize(
    ("change", "months"),
    [
        ("UPDATE airflow.raw_trips SET n = 3 WHERE n = 2", ["2024-02"]),
        ("DELETE FROM airflow.raw_trips WHERE ctid = (SELECT min(ctid) FROM airflow.raw_trips)", ["2024-01"]),
        ("INSERT INTO airflow.raw_trips VALUES ('2024-03-01', '2024-03-01', 1)", ["2024-03"]),
        ("UPDATE airflow.raw_trips SET n = 7 - n", ["2024-01", "2024-02"]),
    ],
)
def test_the_months_that_differ_are_named(connection: Connection, change: str, months: list[str]) -> None:
    load(connection, "plain", "airflow")
    connection.execute(change)
    found = parity(connection, "plain", "airflow")
    assert not found.identical
    assert [(row.table, row.months) for row in found.differing] == [("raw_trips", {"airflow": months})]
    assert found.to_json()["differences"] == [
        {"table": "raw_trips", "schema": "airflow", "months": months, "lacks": found.rows[0].lacking("airflow")}
    ]


def forget(connection: Connection, schema: str, month: str) -> None:
    """As if `schema` had never loaded the month."""
    for table in ("raw_trips", "stg_trips", "fct_trips"):
        connection.execute(f"DELETE FROM {schema}.{table} WHERE source_month = '{month}-01'".encode())
    connection.execute(f"DELETE FROM {schema}.daily_borough_stats WHERE n > 1".encode())
    connection.execute(f"DELETE FROM {schema}.load_ledger WHERE month = '{month}-01'".encode())
    build(connection, schema)


@pytest.mark.parametrize(("lacks", "command"), [("airflow", "airflow"), ("plain", "plain")])
def test_a_month_that_one_has_not_loaded_is_told_and_the_others_are_compared(
    connection: Connection, lacks: str, command: str
) -> None:
    load(connection, "plain", "airflow")
    forget(connection, lacks, "2024-02")
    found = parity(connection, "plain", "airflow")
    assert not found.identical
    assert list(parity_lines(found, "plain")) == [
        f"{lacks} has not loaded 2024-02: `triptych backfill 2024-02 --on {command}`",
        "daily_borough_stats differs for that reason: one date has trips of several months' files",
        "uneven: identical in the months that all have loaded from the same bytes: 2024-01",
    ]
    assert found.to_json()["common"] == {"months": ["2024-01"], "identical": True}


def test_each_schema_that_lacks_months_is_told_once(connection: Connection) -> None:
    load(connection, "plain", "airflow", "dagster", "prefect")
    for schema in ("plain", "airflow"):
        forget(connection, schema, "2024-02")
    found = parity(connection, "plain", "airflow", "dagster", "prefect")
    assert [line for line in parity_lines(found, "plain") if "has not loaded" in line] == [
        "plain has not loaded 2024-02: `triptych backfill 2024-02 --on plain`",
        "airflow has not loaded 2024-02: `triptych backfill 2024-02 --on airflow`",
    ]
    connection.rollback()
    forget(connection, "dagster", "2024-01")
    last = list(parity_lines(parity(connection, "plain", "airflow", "dagster", "prefect"), "plain"))[-1]
    assert last == "uneven: there are no months that all have loaded from the same bytes"


def test_a_difference_in_a_month_that_all_have_is_not_only_uneven(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    forget(connection, "airflow", "2024-02")
    connection.execute("UPDATE airflow.fct_trips SET n = 7")
    build(connection, "airflow")
    found = parity(connection, "plain", "airflow")
    assert list(parity_lines(found, "plain"))[-2:] == [
        "airflow.fct_trips differs from plain.fct_trips in 2024-01",
        "different: 4 of 6 tables in 2 schemas; "
        "different in the months that all have loaded from the same bytes: 2024-01",
    ]


def test_a_table_that_is_missing_is_not_explained_by_months_that_are_not_loaded(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    forget(connection, "airflow", "2024-02")
    connection.execute("DROP TABLE airflow.stg_trips")
    found = parity(connection, "plain", "airflow")
    assert (found.verdict, "airflow.stg_trips is missing" in list(parity_lines(found, "plain"))) == ("different", True)


def test_zones_from_other_bytes_explain_the_marts_that_are_made_of_them(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    for table in ("raw_zones", "stg_zones", "fct_trips", "daily_borough_stats"):
        connection.execute(f"UPDATE airflow.{table} SET n = n + 10".encode())
    zones = digest.table(connection, "airflow", "raw_zones").hex
    query = "UPDATE airflow.load_ledger SET source_sha256 = 'fff', content_digest = %s WHERE month IS NULL"
    connection.execute(query, [zones])
    build(connection, "airflow")
    found = parity(connection, "plain", "airflow")
    assert ([cause.kind for cause in found.causes], found.verdict) == (["other bytes"], "uneven")
    connection.rollback()
    connection.execute("UPDATE airflow.stg_trips SET n = n + 10")
    assert parity(connection, "plain", "airflow").verdict == "different", "no zone is in the staged trips"


def test_months_narrow_the_comparison_and_its_findings(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    for table in ("raw_trips", "fct_trips"):
        connection.execute(f"UPDATE airflow.{table} SET n = 9 WHERE source_month = '2024-02-01'".encode())
    connection.execute("UPDATE airflow.load_ledger SET seen = 0 WHERE month = '2024-02-01'")
    found = parity(connection, "plain", "airflow", months="2024-01")
    assert (found.identical, found.whole) == (True, ["raw_zones"])
    assert found.rows[0].digests["plain"] == digest.by_month(connection, "plain", "raw_trips")["2024-01"]
    connection.rollback()
    found = parity(connection, "plain", "airflow", months="2024-02")
    assert {finding.months for finding in found.findings} == {("2024-02",)}
    assert [row.table for row in found.differing] == ["raw_trips", "fct_trips"]


def test_a_month_that_is_not_loaded_everywhere_is_no_matter_of_another_one(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    forget(connection, "airflow", "2024-02")
    found = parity(connection, "plain", "airflow", months="2024-01", tables="raw_trips fct_trips")
    assert (found.identical, found.causes) == (True, [])


def test_the_stats_of_a_month_may_lack_the_trips_of_another_months_file(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("UPDATE plain.daily_borough_stats SET n = 8 WHERE pickup_date = '2024-01-31'")
    build(connection, "plain")
    forget(connection, "airflow", "2024-02")
    found = parity(connection, "plain", "airflow", months="2024-01")
    assert ([cause.months for cause in found.causes], found.verdict) == ([("2024-02",)], "uneven")


def test_tables_narrow_the_comparison_and_its_findings(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("UPDATE airflow.fct_trips SET n = 9; UPDATE airflow.load_ledger SET seen = 0")
    assert parity(connection, "plain", "airflow", tables="raw_trips raw_zones").identical
    connection.rollback()
    found = parity(connection, "plain", "airflow", tables="fct_trips")
    assert [(row.table, row.differing) for row in found.rows] == [("fct_trips", ["airflow"])]
    assert [finding.table for finding in found.findings] == ["fct_trips"]


def test_a_narrowed_comparison_does_not_advise_to_delete_rows_that_another_month_made(connection: Connection) -> None:
    load(connection, "plain")
    connection.execute("UPDATE plain.daily_borough_stats SET n = 9 WHERE pickup_date = '2008-12-31'")
    (finding,) = parity(connection, "plain", tables="daily_borough_stats").findings
    assert finding.months == ("2008-12",)
    assert finding.remedy == FORCE.format("2024-02", "rebuilds")


def test_another_table_of_the_pipelines_schemas_is_compared_without_their_ledgers(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    for schema in ("plain", "airflow"):
        connection.execute(f"CREATE TABLE {schema}.prices AS SELECT source_month, n FROM {schema}.raw_trips".encode())
    connection.execute("DELETE FROM airflow.prices WHERE source_month = '2024-02-01'; DELETE FROM plain.raw_trips")
    found = parity(connection, "plain", "airflow", tables="prices")
    assert list(parity_lines(found, "plain")) == [
        "airflow.prices has no rows of 2024-02", "uneven: identical in the months that all have: 2024-01"
    ]  # fmt: skip


def test_somebody_elses_table_may_be_called_as_the_ledger(connection: Connection) -> None:
    for schema in ("old", "new"):
        connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.load_ledger AS SELECT 1 AS id".encode())
    found = parity(connection, "old", "new")
    assert ([row.table for row in found.rows], found.identical) == (["load_ledger"], True)


def test_other_bytes_are_told_apart_from_other_rows(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    for month, changed in (("2024-01", "source_sha256"), ("2024-02", "content_digest")):
        connection.execute(f"UPDATE airflow.load_ledger SET {changed} = 'fff' WHERE month = '{month}-01'".encode())
    connection.execute("UPDATE plain.load_ledger SET source = 'sample'; UPDATE airflow.load_ledger SET source = 'tlc'")
    connection.execute("UPDATE airflow.raw_trips SET n = 9")
    found = parity(connection, "plain", "airflow")
    assert [(cause.kind, cause.months) for cause in found.causes] == [
        ("other bytes", ("2024-01",)),
        ("other rows", ("2024-02",)),
    ]
    lines = list(parity_lines(found, "plain"))
    assert lines[0] == (
        "airflow: 2024-01 was loaded from other bytes than plain's (source tlc / sample; SHA-256 fff / sha256): "
        "load both from one source"
    )
    assert lines[1].startswith("airflow: 2024-02 has other rows than plain's, made from the same bytes")
    assert lines[-1] == (
        "different: 1 of 6 tables in 2 schemas; "
        "different in the months that all have loaded from the same bytes: 2024-02"
    )


def test_other_bytes_of_one_source_are_to_be_loaded_again(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("UPDATE airflow.load_ledger SET source_sha256 = 'fff' WHERE month = '2024-01-01'")
    (cause,) = parity(connection, "plain", "airflow").causes
    assert cause.line.endswith("(source unknown / unknown; SHA-256 fff / sha256): load both again")


def test_a_table_that_is_not_kept_by_month_differs_as_a_whole(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("DELETE FROM airflow.raw_zones")
    assert [row.months for row in parity(connection, "plain", "airflow").differing] == [{"airflow": []}]


def test_a_missing_table_is_a_difference(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    connection.execute("DROP TABLE airflow.fct_trips")
    found = parity(connection, "plain", "airflow")
    assert [row.table for row in found.differing] == ["fct_trips"]
    assert {table["table"]: table["schemas"]["airflow"] for table in found.to_json()["tables"]}["fct_trips"] is None


def test_without_the_baseline_the_first_schema_takes_its_place(connection: Connection) -> None:
    load(connection, "airflow", "dagster")
    assert parity(connection, "plain", "airflow", "dagster").baseline == "airflow"


def test_one_schema_alone_is_compared_with_its_ledgers(connection: Connection) -> None:
    load(connection, "plain")
    found = parity(connection, "plain", "airflow")
    assert (found.identical, found.as_recorded, found.absent) == (False, True, ["airflow"])
    assert list(parity_lines(found, "plain")) == [
        "airflow: not loaded", "as recorded: 6 tables in plain, nothing to compare with"
    ]  # fmt: skip


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
    assert line == "there is no schema plain, the baseline: compared with airflow"


def test_a_load_during_the_comparison_waits(connection: Connection, warehouse: str) -> None:
    """Otherwise its rows would be seen, because they are frozen, but not the ledger's row of them."""
    load(connection, "plain", "airflow")
    hold(connection, ["plain"], [*TABLES, "load_ledger"])
    with psycopg.connect(warehouse, autocommit=True) as other:
        other.execute("SET lock_timeout = '50ms'")
        for table in ("raw_trips", "daily_borough_stats", "load_ledger"):
            with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
                other.execute(f"LOCK TABLE plain.{table} IN ACCESS EXCLUSIVE MODE".encode())
        other.execute("DELETE FROM plain.raw_zones")
    assert connection.execute("SELECT count(*) FROM plain.raw_zones").fetchone() == (0,), "the snapshot came after"


def test_nothing_loaded_is_said(connection: Connection) -> None:
    with pytest.raises(UsageError, match="nothing is loaded"):
        parity(connection, "plain", "airflow")


def test_nothing_loaded_in_a_schema_that_is_there_is_said(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA plain")
    with pytest.raises(UsageError, match="nothing is loaded in plain; run"):
        parity(connection, "plain")


# --- a schema against its ledgers -------------------------------------------------------------------------------------

BOTH = "2024-01..2024-02"

BUILDS = "`triptych backfill {} --on plain`, from the same --source, builds it"
FORCE = "`triptych backfill {} --on plain --force`, from the same --source, {} it"

LOADED_ELSE = "is not what its ledger says"
BUILT_ELSE = "is not what its last build left"


def damaged(connection: Connection, *damage: str) -> list[str]:
    """What is said of a schema after that."""
    connection.commit()
    for statement in damage:
        connection.execute(statement.encode())
    found = parity(connection, "plain")
    assert not (found.findings and found.as_recorded)
    assert [finding["table"] for finding in found.to_json()["findings"]] == [each.table for each in found.findings]
    said = [str(finding) for finding in found.findings]
    assert [line for line in parity_lines(found, "plain") if line in said] == said
    return said


def loads(what: str, problem: str, months: str) -> str:
    return f"{what} {problem}: {FORCE.format(months, 'loads').replace(' it', ' it again')}"


def rebuilds(what: str, months: str) -> str:
    return f"{what} {BUILT_ELSE}: {FORCE.format(months, 'rebuilds')}"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE plain.raw_trips SET fare_amount = -fare_amount WHERE row_number = 1", "raw_trips 2024-01"),
        ("DELETE FROM plain.raw_trips", "raw_trips 2024-01"),
        ("DELETE FROM plain.load_ledger WHERE month IS NOT NULL", "raw_trips 2024-01"),
        ("UPDATE plain.raw_zones SET zone = NULL WHERE location_id = 1", "raw_zones"),
        ("UPDATE plain.load_ledger SET fence = fence + 1", None),
    ],
)
def test_a_table_that_is_not_what_its_ledger_says_is_named(
    tmp_path: Path, warehouse: str, damage: str, found: str | None
) -> None:
    sample.ensure(tmp_path, [MONTH], rows=500)
    attempt_zones(tmp_path)
    attempt(tmp_path)
    with psycopg.connect(warehouse) as connection:
        build(connection, "plain", record=False)
        assert damaged(connection) == []
        connection.rollback()
        said = [line for line in damaged(connection, damage) if LOADED_ELSE in line]
    assert said == ([loads(f"plain.{found}", LOADED_ELSE, "2024-01")] if found else [])


def test_without_a_ledger_all_that_is_there_is_unrecorded(connection: Connection) -> None:
    load(connection, "plain")
    said = damaged(connection, "DROP TABLE plain.load_ledger")
    assert said[0] == loads("plain.raw_trips 2024-01..2024-02", LOADED_ELSE, BOTH)
    assert said[1] == loads("plain.raw_zones", LOADED_ELSE, "2024-01")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("TRUNCATE plain.fct_trips", [("fct_trips 2024-01..2024-02", BOTH)]),
        ("UPDATE plain.fct_trips SET n = 9 WHERE n = 2", [("fct_trips 2024-02", "2024-02")]),
        ("UPDATE plain.daily_borough_stats SET n = 9 WHERE n = 1", [("daily_borough_stats 2024-01", "2024-01")]),
        # The date lies in a month without a file: it was made from another one
        ("DELETE FROM plain.daily_borough_stats WHERE n = 3", [("daily_borough_stats 2008-12", "2024-02")]),
        ("UPDATE plain.daily_borough_stats SET n = n + 9", [("daily_borough_stats 2008-12,2024-01..2024-02", BOTH)]),
        ("UPDATE plain.mart_ledger SET row_count = 7 WHERE month = '2024-01-01' AND model = 'fct_trips'",
         [("fct_trips 2024-01", "2024-01")]),
        ("UPDATE plain.mart_ledger SET content_digest = '' WHERE model = 'fct_trips'",
         [("fct_trips 2024-01..2024-02", BOTH)]),
        ("DELETE FROM plain.mart_ledger WHERE month = '2024-02-01'",
         [("fct_trips 2024-02", "2024-02"), ("daily_borough_stats 2024-02", "2024-02")]),
    ],
)  # fmt: skip
def test_a_mart_that_is_not_what_its_last_build_left_is_named(
    connection: Connection, damage: str, said: list[tuple[str, str]]
) -> None:
    load(connection, "plain")
    assert damaged(connection, damage) == [rebuilds(f"plain.{what}", months) for what, months in said]


def test_rows_of_a_mart_that_belong_to_no_loaded_month_are_named(connection: Connection) -> None:
    load(connection, "plain")
    assert damaged(connection, "INSERT INTO plain.fct_trips VALUES ('2030-01-01', '2030-01-01', 1)") == [
        f"plain.fct_trips 2030-01 {BUILT_ELSE}: no loaded month has rows of it: delete them"
    ]


def test_a_mart_that_is_gone_is_named(connection: Connection) -> None:
    load(connection, "plain")
    assert damaged(connection, "DROP TABLE plain.fct_trips") == [
        f"plain.fct_trips is gone since its last build: {BUILDS.format('2024-01')}"
    ]


def test_marts_of_which_nothing_was_recorded_are_told_apart(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    remedy = "`triptych backfill 2024-01 --on plain`, from the same --source, builds it"
    assert damaged(connection, "DROP TABLE plain.mart_ledger") == [
        f"plain.{mart} was built by a version that kept no mart_ledger: {remedy}"
        for mart in ("fct_trips", "daily_borough_stats")
    ]


def test_what_is_loaded_and_not_built_is_named(connection: Connection) -> None:
    load(connection, "plain")
    assert damaged(connection, "DELETE FROM plain.transform_ledger WHERE month = '2024-02-01'") == [
        f"plain: 2024-02 is loaded and not built yet: {BUILDS.format('2024-02')}"
    ]
    (line,) = damaged(connection, "UPDATE plain.load_ledger SET fence = 2 WHERE month = '2024-01-01'")
    assert line.startswith("plain: 2024-01..2024-02 are loaded and not built yet: ")
    first, second = damaged(connection, "UPDATE plain.transform_ledger SET version = 'other' WHERE dataset = 'zones'")
    assert (first, second.split(":")[:2]) == (line, ["plain", " the zones are loaded and not built yet"])


def test_a_schema_that_was_never_built_says_so(connection: Connection) -> None:
    load(connection, "plain")
    gone = ("fct_trips", "daily_borough_stats", "stg_trips", "stg_zones", "mart_ledger", "transform_ledger")
    (line,) = damaged(connection, *[f"DROP TABLE plain.{table}" for table in gone])
    assert line.startswith("plain: 2024-01..2024-02 are loaded and not built yet: ")
    assert "plain.fct_trips is missing" in list(parity_lines(parity(connection, "plain"), "plain"))


def test_what_is_built_and_no_longer_loaded_is_named(connection: Connection) -> None:
    load(connection, "plain")
    said = damaged(
        connection,
        "DELETE FROM plain.load_ledger WHERE month = '2024-02-01'",
        "DELETE FROM plain.raw_trips WHERE n > 1",
    )
    assert said == [f"plain: 2024-02 is built and no longer loaded: {BUILDS.format('2024-01')}"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE plain.load_ledger SET row_count = 7 WHERE month = '2024-02-01'",
         [loads("plain.load_ledger 2024-02", "says 7 rows of green, and raw_trips has 2", "2024-02")]),
        ("UPDATE plain.load_ledger SET row_count = 7 WHERE month IS NULL",
         [loads("plain.load_ledger", "says 7 rows of zones, and raw_zones has 4", "2024-01")]),
        ("UPDATE plain.load_ledger SET seen = 0 WHERE month = '2024-02-01'",
         [loads("plain.load_ledger 2024-02", "has seen 0 of green, below its fence 1", "2024-02")]),
        ("UPDATE plain.load_ledger SET seen = 9 * 10 ^ 15 WHERE month IS NULL;"
         "ALTER SEQUENCE plain.load_fence RESTART 5",
         ["plain.load_fence stands at 4, below 9000000000000000 in load_ledger: "
          "the next load raises it above the ledger"]),
        ("DROP SEQUENCE plain.load_fence",
         ["plain.load_fence is missing: the next load creates it above the ledger"]),
        ("UPDATE plain.load_ledger SET dataset = 'fhv' WHERE month IS NULL; DELETE FROM plain.raw_zones",
         ["plain.load_ledger names the dataset 'fhv', which this version does not know: "
          "compare with the version that loaded it",
          f"plain: the zones are loaded and not built yet: {BUILDS.format('2024-01')}"]),
    ],
)  # fmt: skip
def test_a_number_of_the_load_ledger_that_was_changed_is_named(
    connection: Connection, damage: str, said: list[str]
) -> None:
    load(connection, "plain")
    assert damaged(connection, damage) == said


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("airflow", "--on airflow --force"),
        ("mine", "--on plain --schema mine --force"),
    ],
)
def test_the_command_names_the_schema(connection: Connection, schema: str, words: str) -> None:
    load(connection, schema)
    connection.execute(f"TRUNCATE {schema}.fct_trips".encode())
    (line,) = map(str, parity(connection, schema).findings)
    assert f"`triptych backfill {BOTH} {words}`" in line


def test_the_command_names_spans_of_months() -> None:
    command = audit.backfill("mine", "green", ["2024-01", "2024-02", "2024-04", "2023-12"])
    assert command == "`triptych backfill 2023-12..2024-02,2024-04 --on plain --schema mine`"


def test_a_ledger_that_is_wrong_in_every_schema_alike_is_no_parity(connection: Connection) -> None:
    load(connection, "plain", "airflow")
    assert parity(connection, "plain", "airflow").identical
    connection.rollback()
    for schema in ("plain", "airflow"):
        connection.execute(f"TRUNCATE {schema}.fct_trips".encode())
    found = parity(connection, "plain", "airflow")
    assert (found.differing, found.identical) == ([], False)
    assert [(each.schema, each.table) for each in found.findings] == [("plain", "fct_trips"), ("airflow", "fct_trips")]


def test_who_may_read_the_tables_and_not_the_sequence_can_compare(connection: Connection) -> None:
    load(connection, "plain")
    role = sql.Identifier(f"reader_{connection.info.dbname}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA plain TO {}").format(role))
        connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA plain TO {}").format(role))
        connection.execute(sql.SQL("SET SESSION ROLE {}").format(role))
        assert parity(connection, "plain").as_recorded
    finally:
        connection.rollback()
        connection.execute("RESET ROLE")
        connection.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE IF EXISTS {role}").format(role=role))
        connection.commit()


# --- other datasets ---------------------------------------------------------------------------------------------------


def ingest_yellow(folder: Path, schema: str, rows: int) -> None:
    sample.ensure(folder, [MONTH], rows=rows, cab="yellow")
    pipeline.ingest_month(Run(str(folder), schema, loader="test", dataset="yellow"), MONTH)


def test_schemas_of_another_dataset_are_compared_alike(tmp_path: Path, warehouse: str) -> None:
    for schema, rows in (("plain_yellow", 500), ("mine", 600)):
        ingest_yellow(tmp_path / schema, schema, rows)
    with psycopg.connect(warehouse) as connection:
        found = parity(connection, "plain_yellow", "mine", tables="raw_trips")
        assert [(row.table, row.months) for row in found.differing] == [("raw_trips", {"mine": ["2024-01"]})]
        assert [(cause.dataset, cause.kind) for cause in found.causes] == [("yellow", "other bytes")]
        (pending,) = parity(connection, "plain_yellow").findings
        connection.rollback()
        connection.execute("DELETE FROM plain_yellow.raw_trips")
        said = [str(finding) for finding in parity(connection, "plain_yellow").findings]
    command = "`triptych backfill 2024-01 --on plain --dataset yellow"
    assert said == [
        f"plain_yellow.raw_trips 2024-01 is not what its ledger says: {command} --force`, "
        "from the same --source, loads it again",
        str(pending),
    ]
    assert f"{command}`" in str(pending)


def test_a_schema_that_lacks_a_month_of_a_dataset_is_told_how_to_load_it(tmp_path: Path, warehouse: str) -> None:
    ingest_yellow(tmp_path, "plain_yellow", 500)
    with psycopg.connect(warehouse) as connection:
        load(connection, "mine")
        lines = [cause.line for cause in parity(connection, "plain_yellow", "mine").causes]
    assert (
        "mine has not loaded yellow 2024-01: `triptych backfill 2024-01 --on plain --dataset yellow --schema mine`"
        in lines
    )


def test_rows_that_no_ledger_names_are_compared_all_the_same(tmp_path: Path, warehouse: str) -> None:
    ingest_yellow(tmp_path, "plain", 500)
    with psycopg.connect(warehouse) as connection:
        connection.execute("DELETE FROM plain.load_ledger")
        found = parity(connection, "plain")
    assert [row.table for row in found.rows] == ["raw_trips"]
    assert [finding.months for finding in found.findings] == [("2024-01",)]
