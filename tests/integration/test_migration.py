"""`triptych migrate`, from the baseline to a fourth orchestrator: the whole of it, what it refuses, what it leaves."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from core import ledger
from core.database import connect
from core.errors import UsageError
from core.extract import sample
from core.lab import scratch
from core.month import parse_months
from tests.integration.conftest import TOY

pytestmark = pytest.mark.slow

MONTHS = parse_months("2024-01..2024-03")
MIGRATE = ["migrate", "2024-01..2024-03", "--from", "plain", "--to", "toy", "--at", "2024-02", "--source", "published"]

Triptych = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    sample.ensure(tmp_path / "published", MONTHS, rows=500)
    return tmp_path / "published"


@pytest.fixture
def triptych(warehouse: str, published: Path, monkeypatch: pytest.MonkeyPatch) -> Triptych:
    """Run a command; return its exit code, its lines without seconds and warnings (of few rows), and its progress."""
    monkeypatch.setenv("TRIPTYCH_IMPLS", str(TOY))

    def run(*words: str) -> tuple[int, list[str], str]:
        done = subprocess.run(
            [sys.executable, "-m", "core.lab.cli", *words],
            capture_output=True, text=True, timeout=300, cwd=published.parent,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        out = re.sub(r" \(\d+ with warnings\)", "", re.sub(r"[\d.]+ s\b", "... s", done.stdout))
        return done.returncode, out.splitlines(), done.stderr

    return run


def schemas(dsn: str) -> list[str]:
    query = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'migrated%' ORDER BY 1"
    with psycopg.connect(dsn) as connection:
        return [str(name) for (name,) in connection.execute(query)]


def loaders(dsn: str, schema: str = "migrated") -> dict[str, str]:
    with psycopg.connect(dsn) as connection:
        return {f"{each.month:%Y-%m}": each.loader for each in ledger.entries(connection, schema) if each.month}


def test_a_migration_and_the_same_again(triptych: Triptych, warehouse: str, tmp_path: Path) -> None:
    code, lines, said = triptych(*MIGRATE, "--json", "facts.json")
    assert (code, lines) == (0, [
        "history   plain     2024-01 -> migrated: 1 success in ... s",
        "shadow    plain     2024-02 -> migrated: 1 success in ... s",
        "shadow    toy       2024-01..2024-02 -> migrated_shadow: 2 success in ... s",
        "gate      6 tables of migrated and migrated_shadow: identical in ... s",
        "cut over  toy       2024-02..2024-03 -> migrated: 1 success, 1 unchanged in ... s",
        "way back  plain     2024-01..2024-03 -> migrated: 3 unchanged in ... s",
        "baseline  plain     2024-01..2024-03 -> migrated_baseline: 3 success in ... s",
        "proof     6 tables of migrated and migrated_baseline: identical in ... s",
        "migrated holds 2024-01..2024-02 by plain, 2024-03 by toy; migrated_shadow and migrated_baseline are dropped",
        "complete in ... s: no month was loaded twice, and migrated equals what the baseline loads",
    ]), said  # fmt: skip
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["complete"], facts["problem"], facts["loaded"]) == (True, None, loaders(warehouse))
    assert schemas(warehouse) == ["migrated"]
    code, lines, said = triptych(*MIGRATE)
    assert (code, [line for line in lines if "-> migrated:" in line and "success" in line]) == (0, []), said
    assert loaders(warehouse) == {"2024-01": "plain", "2024-02": "plain", "2024-03": "toy"}
    assert schemas(warehouse) == ["migrated"]


def test_the_gate_refuses_what_differs(triptych: Triptych, published: Path, warehouse: str) -> None:
    """Production has a month of before that the publisher has replaced since."""
    assert triptych("backfill", "2024-03", "--on", "plain", "--source", "published", "--schema", "migrated")[0] == 0
    sample.write_month(published / sample.file_name(MONTHS[2]), MONTHS[2], seed=7, rows=500)
    code, lines, _ = triptych(*MIGRATE, "--json", "facts.json")
    assert (code, lines[3]) == (1, "gate      6 tables of migrated and migrated_shadow: uneven in ... s")
    assert any(
        line.startswith("migrated_shadow: 2024-03 was loaded from other bytes than migrated's") for line in lines
    )
    assert lines[-2:] == [
        "migrated holds 2024-01..2024-03 by plain; migrated_shadow is left for a look",
        "stopped at the step gate: migrated and migrated_shadow are not identical; toy has written nothing to migrated",
    ]
    facts = json.loads((published.parent / "facts.json").read_text())
    assert (facts["complete"], facts["steps"][-1]["parity"]["common"]) == (
        False, {"months": ["2024-01", "2024-02"], "identical": True},
    )  # fmt: skip
    assert schemas(warehouse) == ["migrated", "migrated_shadow"]
    # Once production holds the replaced month too, the same command passes the gate.
    assert triptych("backfill", "2024-03", "--on", "plain", "--source", "published", "--schema", "migrated")[0] == 0
    code, lines, _ = triptych(*MIGRATE)
    assert (code, lines[3]) == (0, "gate      6 tables of migrated and migrated_shadow: identical in ... s")
    assert schemas(warehouse) == ["migrated"]


def test_a_failed_month_ends_it(triptych: Triptych, published: Path, warehouse: str) -> None:
    with (published / sample.file_name(MONTHS[0])).open("r+b") as file:
        file.truncate(1000)
    code, lines, _ = triptych(*MIGRATE)
    assert code == 1
    assert lines[0] == "history   plain     2024-01 -> migrated: 1 failed in ... s"
    assert lines[1].startswith("plain 2024-01 failed: green_tripdata_2024-01.parquet is cut off")
    assert lines[2:] == [
        "migrated holds no month",
        "stopped at the step history: plain failed on 2024-01; toy has written nothing to migrated",
    ]


def test_a_schema_that_is_not_its_own_is_refused_before_anything_is_loaded(triptych: Triptych, warehouse: str) -> None:
    with psycopg.connect(warehouse) as connection:
        connection.execute("CREATE SCHEMA migrated_shadow; CREATE TABLE migrated_shadow.thesis AS SELECT 1")
    code, lines, said = triptych(*MIGRATE)
    assert (code, lines) == (2, [])
    assert said.endswith(
        "triptych: schema 'migrated_shadow' exists, and `triptych migrate` needs the name for a schema of its own: "
        "choose another --schema, or rename that one\n"
    )
    with psycopg.connect(warehouse) as connection:
        connection.execute("DROP SCHEMA migrated_shadow CASCADE; CREATE SCHEMA migrated")
        ledger.create(connection, "migrated")
        facts = ("file", "sha256", 1, 1, "digest", "declaration", "swap", "plain", "run", 1, 1)
        ledger.write(connection, "migrated", ledger.Entry("yellow", dt.date(2024, 1, 1), *facts))
    code, lines, said = triptych(*MIGRATE)
    assert (code, lines) == (2, [])
    assert "triptych: schema 'migrated' holds yellow, and a schema holds one dataset" in said
    assert schemas(warehouse) == ["migrated"]


def test_only_a_schema_with_the_mark_is_dropped(warehouse: str) -> None:
    with connect("test") as connection:
        scratch.make(connection, "one")
        connection.execute("CREATE TABLE one.t AS SELECT 1 AS x; CREATE SCHEMA two")
        scratch.check(connection, ["one", "three"])
        with pytest.raises(UsageError, match="schema 'two' exists"):
            scratch.drop(connection, ["one", "two"])
        assert connection.execute("SELECT x FROM one.t").fetchone() == (1,)
        scratch.make(connection, "one")
        assert connection.execute("SELECT to_regclass('one.t')").fetchone() == (None,)
        scratch.drop(connection, ["one", "three"])
        assert connection.execute("SELECT to_regnamespace('one')::text").fetchone() == (None,)
