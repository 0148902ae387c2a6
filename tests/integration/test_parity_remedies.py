"""The commands that `triptych parity` suggests repair what it reports."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from core.extract import sample
from core.month import parse_months

pytestmark = pytest.mark.slow

MONTHS = parse_months("2024-01..2024-03")

DAMAGE = {
    "rows and numbers": (
        "UPDATE plain.fct_trips SET tip_amount = 99 WHERE source_month = '2024-02-01' AND row_number = 7;"
        "UPDATE plain.daily_borough_stats SET trips = trips + 1 WHERE pickup_date ="
        # This date comes from a later month's file.
        " (SELECT min(pickup_date) FROM plain.daily_borough_stats);"
        "UPDATE plain.load_ledger SET row_count = 7, seen = 0 WHERE month = '2024-02-01'"
    ),
    "a whole mart": "TRUNCATE plain.fct_trips",
    "the record of the marts": "UPDATE plain.mart_ledger SET content_digest = '' WHERE month >= '2024-02-01'",
    "a mart that is gone": "DROP TABLE plain.daily_borough_stats",
    "no record": "DROP TABLE plain.mart_ledger",
}


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    published = tmp_path / "published"
    sample.ensure(published, MONTHS, rows=500)
    return published


@pytest.fixture
def triptych(warehouse: str, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "core.lab.cli", *words], capture_output=True, text=True, timeout=300, cwd=tmp_path
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    return run


def execute(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statements.encode())


def test_every_remedy_repairs(folder: Path, warehouse: str, triptych: Callable[..., tuple[int, str]]) -> None:
    here = ("--source", str(folder))
    assert triptych("backfill", f"{MONTHS[0]}..{MONTHS[-1]}", "--on", "plain", *here)[0] == 0
    clean = triptych("parity")
    assert (clean[0], clean[1].splitlines()[-1]) == (0, "as recorded: 6 tables in plain, nothing to compare with")
    for name, damage in DAMAGE.items():
        execute(warehouse, damage)
        code, said = triptych("parity", "--schemas", "plain")
        commands = dict.fromkeys(re.findall(r"`triptych (.*?)`", said))
        assert code == 1 and commands, (name, said)
        for command in commands:
            done = triptych(*shlex.split(command), *here)
            assert done[0] == 0, (name, command, done[1])
        repaired = triptych("parity")
        assert repaired[0] == 0, (name, said, repaired[1])
        assert repaired[1].splitlines()[:-1] == clean[1].splitlines()[:-1], name


def test_a_month_that_is_loaded_and_not_built_is_reported(
    folder: Path, warehouse: str, triptych: Callable[..., tuple[int, str]]
) -> None:
    # As the README says for yellow.
    program = (
        "import sys; from core.month import Month; from core.pipeline import ingest; from core.run import Run;"
        "run = Run(sys.argv[1], 'plain', loader='me'); ingest(run, 'zones', None); ingest(run, 'green', Month(2024, 1))"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, timeout=300)
    code, said = triptych("parity")
    assert code == 1
    assert "plain: 2024-01 is loaded and not built yet: `triptych backfill 2024-01 --on plain`" in said
