"""What a refresh decides, and how it reads dbt's output; without dbt, without a database."""

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
from core.transform import PROJECT, ZONES, Result, dbt, project
from core.transform.dbt_errors import raise_if_stopped
from core.transform.manifest import DbtTest
from core.transform.pending import Plan

JANUARY, FEBRUARY = dt.date(2024, 1, 1), dt.date(2024, 2, 1)
DECEMBER = ("green", dt.date(2023, 12, 1))
"""A month that is no longer in the load ledger."""

VERSIONS = {PROJECT: "p", ZONES: "1 z", ("green", JANUARY): "2 a", ("green", FEBRUARY): "3 b"}


def plan(*changed: Any, missing: tuple[str, ...] = ()) -> Plan:
    """A plan after a build from which `changed` differ: by their version, or because they are no longer loaded."""
    return Plan(VERSIONS, VERSIONS | dict.fromkeys(changed, "older"), missing)


def test_nothing_is_built_when_nothing_changed() -> None:
    assert plan().is_empty


def test_only_months_that_changed_are_rebuilt() -> None:
    pending = plan(("green", FEBRUARY), DECEMBER)
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
def test_a_change_for_all_months_rebuilds_them_all(pending: Plan) -> None:
    assert (pending.full, pending.months) == (True, (JANUARY, FEBRUARY))


@pytest.mark.parametrize(
    ("pending", "reasons"),
    [
        (Plan(VERSIONS, {}), ["this is the first build"]),
        (plan(PROJECT, ZONES), ["the dbt project changed", "the zones changed"]),
        (plan(("green", FEBRUARY), DECEMBER), ["2024-02 loaded", "2023-12 no longer loaded"]),
        (plan(("green", JANUARY), ("green", FEBRUARY)), ["2024-01..2024-02 loaded"]),
        (plan(missing=("stg_zones",)), ["stg_zones missing"]),
        (replace(plan(), damaged="fct_trips has 0 rows"), ["fct_trips has 0 rows"]),
        (plan(), []),
    ],
    ids=["first", "project-and-zones", "months", "both-months", "missing", "damaged", "nothing"],
)
def test_a_plan_says_why_there_is_something_to_build(pending: Plan, reasons: list[str]) -> None:
    assert list(pending.reasons) == reasons


@pytest.mark.parametrize(
    ("months", "concerned"),
    [
        pytest.param(None, True, id="unknown"),
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
def test_a_finding_counts_the_rows_of_its_month(model: str, months: dict[str, int] | None, line: str) -> None:
    result = Result("n", model, "data", "warn", False, 9, "About it.", months)
    assert result.finding(MARCH, 5) == line
    assert result.warning(MARCH, 5) == f"{line}. About it."


def test_a_share_that_would_round_to_zero_is_shown_as_small() -> None:
    result = Result("n", "fct_trips", "data", "warn", False, 1, "", {"2024-03-01": 1})
    assert result.finding(MARCH, 59_760) == "n on fct_trips: 1 of 59,760 rows, under 0.1 %"


@pytest.mark.parametrize(
    ("severity", "strict", "fails"),
    [("error", False, True), ("error", True, True), ("warn", False, False), ("warn", True, True)],
)
def test_a_warning_fails_a_month_only_in_a_strict_run(severity: str, strict: bool, fails: bool) -> None:
    assert Result("n", "m", "data", severity, False, 1, "", {}).fails(strict) is fails


def result(months: dict[str, int] | None, message: str = "") -> Result:
    rows = 9 if months is None else sum(months.values())
    return Result("n", "m", "data", "error", months == {}, rows, message, months)


@pytest.mark.parametrize(
    ("before", "now", "built", "after"),
    [
        pytest.param({"2024-01-01": 3}, {}, [FEBRUARY], {"2024-01-01": 3}, id="another-month-was-built"),
        pytest.param({"2024-01-01": 3}, {}, [JANUARY], {}, id="it-was-repaired"),
        pytest.param({"2024-01-01": 3}, {}, None, {}, id="all-were-built"),
        pytest.param({"2024-01-01": 3}, {}, [], {"2024-01-01": 3}, id="none-was-built"),
        pytest.param({}, {"2024-02-01": 2}, [FEBRUARY], {"2024-02-01": 2}, id="a-new-one"),
        pytest.param(
            {"2024-01-01": 3}, {"2024-02-01": 2}, [FEBRUARY], {"2024-01-01": 3, "2024-02-01": 2}, id="one-more"
        ),
        pytest.param({"2024-01-01": 3}, {"2024-01-01": 1}, [JANUARY], {"2024-01-01": 1}, id="other-rows"),
        pytest.param(None, {}, [FEBRUARY], {}, id="months-unknown-before"),
        pytest.param({"2024-01-01": 3}, None, [FEBRUARY], None, id="months-unknown-now"),
    ],
)
def test_a_result_stands_until_its_month_is_built_again(
    before: dict[str, int] | None, now: dict[str, int] | None, built: list[dt.date] | None, after: dict[str, int] | None
) -> None:
    known = result(now, "now").after(result(before, "before"), built)
    assert known == replace(result(after), message=known.message)
    if known.months:
        assert known.message == ("now" if now else "before")


def test_the_first_result_of_a_test_is_taken_as_it_is() -> None:
    assert result({"2024-01-01": 1}).after(None, [FEBRUARY]) == result({"2024-01-01": 1})


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
def test_the_cause_decides_the_class_of_the_error(message: str, kind: type[TriptychError]) -> None:
    with pytest.raises(kind, match=r"^dbt: model m: ") as failure:
        stopped(0, [{"unique_id": "model.triptych.m", "status": "error", "message": message}])
    assert "\n" not in str(failure.value)
    assert "compiled code" not in str(failure.value)


def test_a_killed_dbt_is_tried_again() -> None:
    with pytest.raises(TransientError, match="ended by SIGKILL"):
        stopped(-9, [])


def test_an_interrupted_build_is_tried_again() -> None:
    """dbt writes down what it had done until then, as if that was all."""
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
    raise_if_stopped(process, results, {"t": DbtTest("t", "m", kind, "error", "")}, Path("folder"), password)


# --- a dbt that ends badly ---

BUILD = """
import resource, sys
from types import SimpleNamespace
from core.transform import dbt_build
from core import errors
server = SimpleNamespace(
    host="h", port=1, user="u", dbname="d", password="", get_parameters=lambda: {"host": "h"}
)
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    dbt_build.build_models(server, "plain", None, views=False, unit_tests=False)
except errors.TriptychError as error:
    print(f"{type(error).__name__}: {error}", end="")
"""


SERVER = ("h", "1", "d", "plain")


def end_of_a_build(home: Path, script: str, *words: str) -> str:
    """Return class and message of a build whose dbt is this shell script; with a word, no file may grow."""
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
def test_half_a_file_of_results_counts_as_none(tmp_path: Path, end: str, kind: str) -> None:
    assert end_of_a_build(tmp_path, f'printf \'{{"results": [\' > "$2/run_results.json"; {end}').startswith(kind)


def test_a_disk_without_room_for_dbts_message_is_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "dbt" / f"plain-{hashlib.sha256(chr(0).join(SERVER[:3]).encode()).hexdigest()[:8]}"
    message = end_of_a_build(tmp_path, "exit 2", "no room")
    assert message == f"DiskFull: no room under {folder}: make some, then run again"


def test_the_version_of_the_project_follows_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt, "PROJECT", tmp_path)
    (tmp_path / "a.sql").write_text("select 1")
    first = project.version()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "b.sql").write_text("compiled")
    (tmp_path / "README.md").write_text("words")
    assert project.version() == first
    (tmp_path / "a.sql").rename(tmp_path / "c.sql")
    assert project.version() != first
