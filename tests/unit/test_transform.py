"""What a refresh decides, and what it makes of dbt's words; no dbt, no database."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import Busy, DatabaseUnavailable, DiskFull, TransformFailed, TransientError, TriptychError
from core.settings import ROOT
from core.transform import PROJECT, ZONES, Result, dbt
from core.transform.builds import Plan

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)
VERSIONS = {PROJECT: "p", ZONES: "1 z", ("green", JANUARY): "2 a", ("green", FEBRUARY): "3 b"}


def plan(*changed: Any, missing: tuple[str, ...] = ()) -> Plan:
    return Plan(VERSIONS, frozenset(changed), missing)


def test_nothing_changed_is_nothing_to_do() -> None:
    assert plan().is_empty


def test_only_months_that_changed_are_rebuilt() -> None:
    pending = plan(("green", FEBRUARY), ("green", dt.date(2023, 12, 1)))  # December was taken out of the ledger
    assert (pending.full, pending.months) == (False, (dt.date(2023, 12, 1), FEBRUARY))


def test_a_missing_view_rebuilds_no_month() -> None:
    pending = plan(missing=("stg_zones",))
    assert (pending.is_empty, pending.full, pending.months) == (False, False, ())


@pytest.mark.parametrize(
    "pending",
    [
        plan(PROJECT),
        plan(ZONES),
        plan(missing=("fct_trips",)),
        plan(missing=("daily_borough_stats",)),
        replace(plan(), damaged="fct_trips has 0 rows where its last build left 5"),
    ],
    ids=["project", "zones", "trips-gone", "stats-gone", "damaged"],
)
def test_what_concerns_all_months_rebuilds_them_all(pending: Plan) -> None:
    assert (pending.full, pending.months) == (True, (JANUARY, FEBRUARY))


@pytest.mark.parametrize(
    ("months", "concerned"),
    [
        pytest.param(None, True, id="not-told"),
        pytest.param({"2024-01-01": 1}, True, id="this"),
        pytest.param({"2024-02-01": 1}, False, id="other"),
    ],
)
def test_a_failed_test_concerns_the_months_of_its_rows(months: dict[str, int] | None, concerned: bool) -> None:
    assert Result("n", "m", "data", "error", False, 1, "", months).concerns(JANUARY) is concerned


MARCH = dt.date(2024, 3, 1)
DAYS = [f"2024-{number:02}-01" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("model", "months", "line"),
    [
        ("fct_trips", {"2024-03-01": 5}, "n on fct_trips: 5 of 5 rows, 100 %"),
        ("fct_trips", {"2024-03-01": 1, "2024-01-01": 4}, "n on fct_trips: 1 of 5 rows, 20 % (also 2024-01: 4)"),
        ("stg_trips", dict.fromkeys(DAYS[:3], 5), "n on stg_trips: 5 rows (also 2024-01: 5, 2024-02: 5)"),
        ("stg_trips", {"2024-03-01": 1}, "n on stg_trips: 1 row"),
        (
            "stg_trips",
            dict.fromkeys(DAYS, 1),
            "n on stg_trips: 1 row (also 2024-01: 1, 2024-02: 1, 2024-04: 1, 3 more months)",
        ),
        ("stg_trips", None, "n on stg_trips: 9 rows, of months that the test does not name"),
    ],
)
def test_a_finding_counts_the_months_own_rows(model: str, months: dict[str, int] | None, line: str) -> None:
    result = Result("n", model, "data", "warn", False, 9, "About it.", months)
    assert result.finding(MARCH, 5) == line
    assert result.warning(MARCH, 5) == f"{line}. About it."


def test_a_share_that_rounds_to_nothing_is_not_nothing() -> None:
    result = Result("n", "fct_trips", "data", "warn", False, 1, "", {"2024-03-01": 1})
    assert result.finding(MARCH, 59_760) == "n on fct_trips: 1 of 59,760 rows, under 0.1 %"


@pytest.mark.parametrize(
    ("severity", "strict", "fails"),
    [("error", False, True), ("error", True, True), ("warn", False, False), ("warn", True, True)],
)
def test_a_warning_fails_a_month_only_when_asked_to(severity: str, strict: bool, fails: bool) -> None:
    assert Result("n", "m", "data", severity, False, 1, "", {}).fails(strict) is fails


def found(months: dict[str, int] | None, message: str = "") -> Result:
    rows = 9 if months is None else sum(months.values())
    return Result("n", "m", "data", "error", months == {}, rows, message, months)


@pytest.mark.parametrize(
    ("before", "now", "built", "after"),
    [
        pytest.param({"2024-01-01": 3}, {}, [FEBRUARY], {"2024-01-01": 3}, id="another-month-was-built"),
        pytest.param({"2024-01-01": 3}, {}, [JANUARY], {}, id="it-was-mended"),
        pytest.param({"2024-01-01": 3}, {}, None, {}, id="all-were-built"),
        pytest.param({"2024-01-01": 3}, {}, [], {"2024-01-01": 3}, id="none-was-built"),
        pytest.param({}, {"2024-02-01": 2}, [FEBRUARY], {"2024-02-01": 2}, id="a-new-one"),
        pytest.param(
            {"2024-01-01": 3}, {"2024-02-01": 2}, [FEBRUARY], {"2024-01-01": 3, "2024-02-01": 2}, id="one-more"
        ),
        pytest.param({"2024-01-01": 3}, {"2024-01-01": 1}, [JANUARY], {"2024-01-01": 1}, id="other-rows"),
        pytest.param(None, {}, [FEBRUARY], {}, id="it-could-not-tell-before"),
        pytest.param({"2024-01-01": 3}, None, [FEBRUARY], None, id="it-can-not-tell"),
    ],
)
def test_what_was_found_stands_until_its_month_is_built_again(
    before: dict[str, int] | None, now: dict[str, int] | None, built: list[dt.date] | None, after: dict[str, int] | None
) -> None:
    known = found(now, "now").after(found(before, "before"), built)
    assert known == replace(found(after), message=known.message)
    if known.months:
        assert known.message == ("now" if now else "before")


def test_a_test_that_was_never_run_is_known_by_what_it_found() -> None:
    assert found({"2024-01-01": 1}).after(None, [FEBRUARY]) == found({"2024-01-01": 1})


def test_a_passed_test_concerns_no_month() -> None:
    assert not Result("n", "m", "data", "error", True, 0, "", None).concerns(JANUARY)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Database Error in model m (m.sql)\n  division by zero\n  compiled code at x", TransformFailed),
        ('could not extend file "base/1": No space left on device', DiskFull),
        ("deadlock detected\nDETAIL: ...", Busy),
        ("canceling statement due to lock timeout", Busy),
        ("canceling statement due to statement timeout", DatabaseUnavailable),
        ("terminating connection due to transaction timeout\nserver closed the connection", DatabaseUnavailable),
        ('connection to server at "h", port 1 failed: FATAL:  sorry, too many clients already', DatabaseUnavailable),
        ("server closed the connection unexpectedly", DatabaseUnavailable),
        ("FATAL:  the database system is shutting down", DatabaseUnavailable),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', DatabaseUnavailable),
    ],
)
def test_the_cause_decides_the_class(message: str, kind: type[TriptychError]) -> None:
    with pytest.raises(kind, match=r"^dbt: model m: ") as failure:
        stopped(0, [{"unique_id": "model.triptych.m", "status": "error", "message": message}])
    assert "\n" not in str(failure.value)
    assert "compiled code" not in str(failure.value)


def test_a_kill_is_tried_again() -> None:
    with pytest.raises(TransientError, match="ended by SIGKILL"):
        stopped(-9, [])


def test_what_was_interrupted_is_not_done() -> None:
    """dbt writes what it had done until then, as if that was all."""
    done = [{"unique_id": "model.triptych.m", "status": "success", "message": "INSERT 0 1"}]
    for results, output in ((done, ""), ([], "Traceback\nKeyboardInterrupt\n\n")):
        with pytest.raises(TransientError, match="interrupted before it was done"):
            stopped(2, results, output)


def test_without_results_the_last_event_is_the_message() -> None:
    output = "not dbt's\n12:00:00  Unrelated\n12:00:01  Encountered an error:\nParsing Error\n  no such macro, s3cret\n"
    with pytest.raises(TransformFailed, match=r"^dbt: Encountered an error: no such macro, \*\*\*; the whole"):
        stopped(2, [], output, "s3cret")


def test_a_failed_data_test_stops_nothing_and_a_failed_unit_test_does() -> None:
    results = [{"unique_id": "t", "status": "fail", "message": "Got 1 result"}]
    stopped(1, results, kind="data")
    with pytest.raises(TransformFailed, match="Got 1 result"):
        stopped(1, results, kind="unit")


def stopped(code: int, results: list[dict[str, Any]], output: str = "", password: str = "", kind: Any = "data") -> None:
    process = subprocess.CompletedProcess(["dbt"], code, output, "")
    dbt._raise_if_stopped(process, results, {"t": dbt.DbtTest("t", "m", kind, "error", "")}, Path("folder"), password)


# --- a dbt that ends badly ------------------------------------------------------------------------------------------------

BUILD = """
import resource, sys
from types import SimpleNamespace
from core.transform import dbt
from core import errors
server = SimpleNamespace(
    host="h", port=1, user="u", dbname="d", password="", get_parameters=lambda: {"host": "h"}
)
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    dbt.build(server, "plain", None, views=False, unit_tests=False)
except errors.TriptychError as error:
    print(f"{type(error).__name__}: {error}", end="")
"""


SERVER = ("h", "1", "d", "plain")


def end_of_a_build(home: Path, script: str, *words: str) -> str:
    """The class and the message of a build by a dbt that is this shell script; with a word, no file may get a byte."""
    fake = home / "dbt.sh"
    fake.write_text(f'#!/bin/sh\nwhile [ "$1" != --target-path ]; do shift; done\n{script}\n')
    fake.chmod(0o755)
    env = {"TRIPTYCH_HOME": str(home), "TRIPTYCH_DBT": str(fake), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("end", "kind"), [("kill -9 $$", "TransientError: dbt was ended by SIGKILL"), ("exit 2", "TransformFailed: dbt: ")]
)
def test_half_a_file_of_results_is_none(tmp_path: Path, end: str, kind: str) -> None:
    assert end_of_a_build(tmp_path, f'printf \'{{"results": [\' > "$2/run_results.json"; {end}').startswith(kind)


def test_a_disk_that_has_no_room_for_dbts_message_either(tmp_path: Path) -> None:
    folder = tmp_path / "dbt" / f"plain-{hashlib.sha256(chr(0).join(SERVER[:3]).encode()).hexdigest()[:8]}"
    message = end_of_a_build(tmp_path, "exit 2", "no room")
    assert message == f"DiskFull: no room under {folder}: make some, then run again"


def test_the_projects_version_follows_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt, "PROJECT", tmp_path)
    (tmp_path / "a.sql").write_text("select 1")
    first = dbt.project_version()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "b.sql").write_text("compiled")
    (tmp_path / "README.md").write_text("words")
    assert dbt.project_version() == first
    (tmp_path / "a.sql").rename(tmp_path / "c.sql")
    assert dbt.project_version() != first
