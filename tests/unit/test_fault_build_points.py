"""How the kill points of a build are noted, and how outcomes are judged; no server, no dbt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.settings import ROOT
from tests.faults import file_points
from tests.faults.build_rules import FAULTS, Point, Scenario, cases, honest, misplaced, reader
from tests.faults.injector import Ended

WORK = """
import os, sys
from pathlib import Path
from tests.faults import file_points
file_points.install()
folder = Path(sys.argv[1])
(folder / "a-12345678").mkdir()
for text in ("x" * 1000, "y" * 1000):
    (folder / "a-12345678" / "half").write_text(text)
(folder / "a-12345678" / "half").rename(folder / "whole")
(folder / "whole").read_text()
(folder / "whole").unlink()
(folder.parent / "elsewhere").write_text("not below")
"""

POINTS = ["mkdir a", "write a/half", "write a/half", "rename a/half", "remove whole"]


def work(folder: Path, **at: Any) -> int:
    """Run `WORK` with its file operations watched, as dbt's are; return the exit code."""
    (folder / "below").mkdir()
    told = {"below": str(folder / "below"), "log": str(folder / "log"), "loader": 0, **at}
    env = {file_points.VARIABLE: json.dumps(told), "PATH": os.defpath}
    return subprocess.run([sys.executable, "-c", WORK, str(folder / "below")], cwd=ROOT, env=env).returncode


def test_every_change_of_a_file_is_a_point(tmp_path: Path) -> None:
    assert work(tmp_path) == 0
    found = [note for note in file_points.noted(str(tmp_path / "log")) if note]
    assert [(kind, name) for kind, name, _ in found] == [("file", f"dbt: {name}") for name in POINTS]
    assert [nth for _, name, nth in found if name == "dbt: write a/half"] == [1, 2]


@pytest.mark.parametrize(
    ("name", "nth", "when", "left"),
    [
        ("mkdir a", 1, "before", {}),
        ("mkdir a", 1, "after", {"a-12345678": None}),
        ("write a/half", 1, "after", {"a-12345678": None, "half": 0}),
        ("write a/half", 2, "before", {"a-12345678": None, "half": 1000}),
        ("write a/half", 2, "after", {"a-12345678": None, "half": 0}),
        ("rename a/half", 1, "after", {"a-12345678": None, "whole": 1000}),
        ("remove whole", 1, "after", {"a-12345678": None}),
    ],
)
def test_a_kill_leaves_what_was_done_before_it(
    tmp_path: Path, name: str, nth: int, when: str, left: dict[str, int | None]
) -> None:
    assert work(tmp_path, at=[f"dbt: {name}", nth], when=when, fault="dbt killed") == -9
    found = {p.name: p.stat().st_size if p.is_file() else None for p in (tmp_path / "below").rglob("*")}
    assert found == left
    assert file_points.noted(str(tmp_path / "log"))[-1] == file_points.MET


def test_a_note_that_a_kill_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """A process whose files must not grow beyond a limit leaves such a note."""
    log = tmp_path / "log"
    assert file_points.noted(str(log)) == []
    log.write_text('\n["file", "dbt: a", 1]\n\n["file", "db')
    assert [note for note in file_points.noted(str(log)) if note] == [["file", "dbt: a", 1]]
    file_points._note(str(log), file_points.MET)
    assert [note for note in file_points.noted(str(log)) if note] == [["file", "dbt: a", 1], file_points.MET]


def test_a_file_is_killed_half_written(tmp_path: Path) -> None:
    assert work(tmp_path, at=["dbt: write a/half", 1], when="after", fault="killed half written") < 0
    assert (tmp_path / "below" / "a-12345678" / "half").stat().st_size == file_points.HALF


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        ({"fct_trips 1": "a", "fct_trips 2": "b", "daily_borough_stats": "s"}, "old"),
        ({"fct_trips 1": "A", "fct_trips 2": "b", "daily_borough_stats": "S"}, "new"),
        (
            {"fct_trips 1": "A", "fct_trips 2": "b", "daily_borough_stats": "s"},
            "part: new fct_trips 1 and old daily_borough_stats",
        ),
        (
            {"fct_trips 1": "a", "fct_trips 2": "b", "daily_borough_stats": "s", "stg_trips": "v"},
            "new stg_trips and old daily_borough_stats, fct_trips 1",
        ),
        ({"fct_trips 1": "half", "fct_trips 2": "b", "daily_borough_stats": "s"}, "part: fct_trips 1"),
        ({"fct_trips 1": "A", "daily_borough_stats": "s"}, "part: fct_trips 2"),
        ({"fct_trips 1": "a", "fct_trips 2": "b", "fct_trips 3": "c", "daily_borough_stats": "s"}, "part: fct_trips 3"),
    ],
)
def test_what_a_reader_sees(found: dict[str, str], seen: str) -> None:
    before = {"fct_trips 1": "a", "fct_trips 2": "b", "daily_borough_stats": "s"}
    undisturbed = {"fct_trips 1": "A", "fct_trips 2": "b", "daily_borough_stats": "S"}
    # A view, created before the marts are published.
    if "stg_trips" in found:
        undisturbed["stg_trips"] = "v"
    assert reader(found, before, undisturbed) == seen


OLD = {"tables": {"fct_trips 1": "t"}, "transform_ledger": "l", "mart_ledger": "m", "test_results": "r"}
NEW = {"tables": {"fct_trips 1": "T"}, "transform_ledger": "L", "mart_ledger": "M", "test_results": "R"}


@pytest.mark.parametrize(
    ("found", "is_honest"),
    [
        (OLD, True),
        (NEW, True),
        # A view, created before the marts are published.
        (OLD | {"tables": {"fct_trips 1": "t", "stg_trips": "v"}}, True),
        (OLD | {"tables": {"fct_trips 1": "T"}}, False),
        (NEW | {"tables": {"fct_trips 1": "t"}}, False),
        (NEW | {"mart_ledger": "m"}, False),
        (OLD | {"test_results": "R"}, False),
        (OLD | {"transform_ledger": "L"}, False),
    ],
)
def test_what_is_recorded_must_have_been_built(found: dict[str, Any], is_honest: bool) -> None:
    assert honest(found, OLD, NEW) is is_honest


@pytest.mark.parametrize(
    ("fault", "how", "said", "is_right"),
    [
        ("SIGKILL", "SIGKILL", "", True),
        ("SIGTERM", "SystemExit", "SIGTERM", True),
        ("backend terminated", "success", "", True),
        ("backend terminated", "DatabaseUnavailable", "gone", True),
        ("backend terminated", "TransformFailed", "gone", False),
        ("backend terminated", "unclassified OSError", "gone", False),
        ("backend terminated", "DatabaseUnavailable", "gone, s3cret", False),
        ("backend terminated", "DatabaseUnavailable", "one\ntwo", False),
        ("server's disk full", "DiskFull", "full", True),
        ("server's disk full", "DatabaseUnavailable", "full", False),
        ("dbt killed", "TransientError", "killed", True),
        ("dbt killed", "hung", "", False),
    ],
)
def test_how_a_first_run_may_end(fault: str, how: str, said: str, is_right: bool) -> None:
    assert (misplaced(fault, Ended(how, said), "s3cret") is None) is is_right


def test_sigkill_comes_before_every_point_and_the_rest_once_to_each_shape() -> None:
    points = [
        Point("statement", "dbt test one: select count", 1),
        Point("statement", "dbt test two: select count", 1),
        Point("statement", "dbt model m: delete from t", 1),
        Point("statement", "dbt model m: COMMIT", 1),
        Point("statement", "dbt model n: COMMIT", 1),
    ]
    met = set[tuple[str, str, str]]()
    found = cases(points, Scenario("s", "s", every=True), met)
    of = [{case.fault for case in found if (case.number, case.when) == (n, "before")} for n in range(len(points))]
    assert of[0] == {"SIGKILL", "SIGTERM", "dbt killed", "backend terminated"}
    assert of[1] == {"SIGKILL"}
    assert of[2] == of[3] == of[4] == set(FAULTS["statement", "dbt"])
    assert {case.number for case in found if case.when == "after"} == {2, 3, 4}
    assert cases(points, Scenario("t", "t"), met) == [], "all of them are done"
