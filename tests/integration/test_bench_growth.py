"""The benchmarks of reloads, inserts and a year, in small: what was written is counted, and contents are compared."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from benchmarks.harness import measure
from benchmarks.harness.proxy import delayed
from benchmarks.strategies import claims, growth, inserts
from benchmarks.transform import year, year_page
from core import digest, load
from core.run import STRATEGIES
from tests.integration.loading import connect

ROWS = 1_000


@pytest.fixture
def at(warehouse: str, tmp_path: Path) -> measure.Server:
    """The test's database as a benchmark's server. Whose CPU is counted does not matter here."""
    return measure.Server(warehouse, psutil.Process(), tmp_path)


@pytest.mark.slow
def test_each_strategy_writes_and_leaves_dead_what_it_says(at: measure.Server) -> None:
    rows = {row["strategy"]: row for row in growth.measured(at, [3], ROWS, 1)}
    assert set(rows) == set(growth.CHANGES)
    written = {method: row["rows_written"] for method, row in rows.items()}
    dead = {method: row["dead_rows"] for method, row in rows.items()}
    new, old = written["swap"], dead["delete-append"]
    assert dead["swap"] == 0 and 0.9 * ROWS < old != new
    assert written["delete-append"] == new
    assert (written["overwrite"], dead["overwrite"]) == (new + 2 * old, 3 * old)
    assert (written["upsert"], dead["upsert"]) == (new, old)
    assert written[growth.FEW] == dead[growth.FEW] == (old + 99) // 100
    assert len({rows[method]["digest"] for method in STRATEGIES}) == 1
    for row in rows.values():
        assert row["reads"] > 0 and row["reader_max_ms"] >= row["reader_p50_ms"] > 0
        assert row["wal_bytes"] >= 0 and row["wall_s"] > 0


@pytest.mark.parametrize("way", [inserts.copy, inserts.execute, inserts.executemany])
def test_each_way_to_insert_leaves_the_same_rows(at: measure.Server, way: object, tmp_path: Path) -> None:
    """The peers' ways need an environment of their own; the benchmark itself compares all six."""
    load.begin("claims")
    at.execute(f"CREATE TABLE {inserts.TABLE} (LIKE claims.raw_trips)")
    path = claims.write_file(tmp_path / "claims.parquet", ROWS)
    inserts.copy(path, 300)()
    expected = claims.content()
    assert callable(way)
    # Each empties the table first.
    for _ in range(2):
        way(path, 300)()
        assert claims.content() == expected != digest.total([])
    assert expected.rows == 300


def test_a_round_trip_is_measured_through_the_proxy(at: measure.Server) -> None:
    with delayed(at.dsn, 0.01) as far:
        assert claims.round_trip_ms(far) >= 20
        # The DSN still names the password and the database.
        with connect(far) as connection:
            assert connection.execute("SELECT current_database()").fetchall() == [(at.dsn.rpartition("/")[2],)]


@pytest.mark.slow
@pytest.mark.usefixtures("warehouse")
def test_a_year_in_small(tmp_path: Path) -> None:
    """On a server of its own; `warehouse` restores the settings. A long name is too long for a socket."""
    assert year.main(["--rows", "500", "--months", "2", "--folder", str(tmp_path)]) == 0
    result = measure.read("year", tmp_path)
    loads = [(row["month"], row["way"]) for row in result["rows"] if row["question"] == "load"]
    assert loads == [(month, way) for month in ("2024-01", "2024-02") for way in ("triptych", "copy")]
    ours, bare, *_ = (row for row in result["rows"] if row["question"] == "build a year")
    assert ours["rows"] == bare["rows"] == sum(row["rows"] for row in result["rows"] if row["way"] == "copy")
    assert 0 < bare["fct_trips_s"] <= bare["wall_s"]
    page = year_page.section(result)
    assert page.startswith("## A year of 500 rows a month") and "`create table as`" in page
