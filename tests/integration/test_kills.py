"""A slice of `make soak`: no fault at any point of a load loses anything, and neither do random kills.

The harness is tested as well: it sees every point, and notices a broken loader.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.run import STRATEGIES
from core.settings import ROOT
from tests.faults.stage import FAULTS

pytestmark = pytest.mark.slow


def python(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, because fault injection forks and the test runner has threads."""
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)


def run(folder: Path, module: str, *words: str) -> dict[str, Any]:
    """Run a fault injection; return its results."""
    done = python("-m", f"tests.faults.{module}", "--folder", str(folder), *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results: dict[str, Any] = json.loads((folder / f"{module}.json").read_text())
    return results


# --- every point ------------------------------------------------------------------------------------------------------


def test_the_next_run_repairs_what_a_fault_at_any_point_of_any_strategy_leaves(tmp_path: Path) -> None:
    rows = run(tmp_path, "kill_points", "--step", "load", "--sample", "1")["rows"]
    assert {row["strategy"] for row in rows} == set(STRATEGIES)
    killed = {row["name"] for row in rows if row["scenario"] == "swap, replaced month" and "SIGKILL" in row["faults"]}
    assert {"connect", "BEGIN", "COPY: a piece", "COPY: its end", "SAVEPOINT ...", "COMMIT", "close"} <= killed
    for operation in ("open", "write", "flush", "mkdir", "flock", "replace", "unlink", "close"):
        assert any(name.startswith(f"{operation} in ") for name in killed), f"{operation} was not met"
    for fault in FAULTS:
        ends = {row["faults"][fault.name].partition(";")[0] for row in rows if fault.name in row["faults"]}
        assert ends & ({*fault.ends} - {"success"}) or (
            fault.fills_disk and ends == {"not run: no file system could be mounted"}
        )


WATCH = """
import sys
from tests.faults import injector, kill_points, stage
CHANGES = (
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "fcntl.flock"
)
watched = injector.Points.watched
def audited(self):
    def look(event, arguments):
        if event in CHANGES and (self._open or injector._place(sys._getframe(1))):
            print(f"{'met' if self._open else 'missed'}: {event}", file=sys.stderr, flush=True)
    sys.addaudithook(look)
    return watched(self)
injector.Points.watched = audited
stage.OPTIONS |= {"log_statement": "all", "log_line_prefix": "%a|"}
with stage.stage() as at, kill_points.bench(at) as made:
    for scenario in kill_points.SCENARIOS:
        (at.server.folder / "log").write_bytes(b"")
        moments = made.moments(scenario)[0]
        print("scenario:", scenario.name)
        for point, when in moments:
            if when == "before" and point.kind == "statement":
                print("point:", point.name)
        print((at.server.folder / "log").read_text())
"""


@pytest.fixture(scope="module")
def undisturbed() -> subprocess.CompletedProcess[str]:
    """One run of each scenario: what the harness sees, and what the server and the interpreter report."""
    done = python("-c", WATCH)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def test_every_statement_that_the_server_gets_is_a_point(undisturbed: subprocess.CompletedProcess[str]) -> None:
    scenarios = undisturbed.stdout.split("scenario: ")[1:]
    assert len(scenarios) > 10
    for text in scenarios:
        points = re.findall(r"^point: (?!connect|close|COPY:)(\w+)", text, re.MULTILINE)
        got = re.findall(r"^triptych pid=[^|]*\|LOG:  (?:statement|execute [^:]*):\s+(\w+)", text, re.MULTILINE)
        # As multisets: a statement that begins a transaction is a point around another one.
        assert Counter(map(str.upper, got)) == Counter(map(str.upper, points)), text.splitlines()[0]


def test_every_file_operation_that_the_interpreter_reports_is_a_point(
    undisturbed: subprocess.CompletedProcess[str],
) -> None:
    assert "missed:" not in undisturbed.stderr
    met = re.findall(r"^met: (\S+)", undisturbed.stderr, re.MULTILINE)
    assert {"open", "os.rename", "os.remove", "os.mkdir", "fcntl.flock"} <= set(met)


TORN = """
from core import ledger
from core.database import connect
from core.extract.resume import Partial
write = ledger.write
def apart(connection, schema, entry):
    with connect("apart") as other:
        return write(other, schema, entry)
ledger.write = apart
Partial._sweep = lambda folder: None
"""
"""A ledger row in a transaction of its own, and partial files that stay."""

UNTRANSLATED = """
import contextlib
from core import database
database.translated = lambda dsn: contextlib.nullcontext()
"""
"""Errors that stay those of psycopg."""


@pytest.mark.parametrize(
    ("breaking", "words", "said"),
    [
        (TORN, ["SIGKILL"], ["the ledger does not say what the table holds", "files differ: ['files/.part-"]),
        (UNTRANSLATED, ["backend", "--sample", "3"], ["unclassified AdminShutdown; old; the first run said"]),
    ],
    ids=["torn", "untranslated"],
)
def test_a_broken_loader_is_noticed(tmp_path: Path, breaking: str, words: list[str], said: list[str]) -> None:
    words = ["--step", "load", "--only", "zones", "--jobs", "1", "--folder", str(tmp_path), "--fault", *words]
    done = python(
        "-c", f"{breaking}\nfrom tests.faults import kill_points\nraise SystemExit(kill_points.main({words!r}))"
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert [line for line in said if line not in done.stdout] == []


# --- at random --------------------------------------------------------------------------------------------------------


def test_random_kills_lose_and_double_nothing_and_no_reader_sees_part_of_a_month(tmp_path: Path) -> None:
    found = run(tmp_path, "soak", "--kills", "60", "--contrast", "0")
    assert found["kills"] >= 50 and found["polls"] > 0
    assert [found[key] for key in ("lost_rows", "extra_rows", "partial_reads", "ledger_mismatches")] == [0, 0, 0, 0]
