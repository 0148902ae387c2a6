"""Which cases a scenario has, and how their outcomes become rows."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import measure
from tests.faults import kill_points
from tests.faults.injector import Moment, Point, Points
from tests.faults.kill_points import Wanted
from tests.faults.stage import FAULTS, KILL

A, B, FILE = Point("statement", "A"), Point("statement", "B"), Point("file", "F")
NESTED: list[Moment] = [
    (A, "before"), (B, "before"), (B, "after"), (A, "after"), (FILE, "before"), (FILE, "after"),
]  # fmt: skip


def moments(name: str) -> list[Moment]:
    return kill_points.moments_of(next(fault for fault in FAULTS if fault.name == name), NESTED)


def test_a_fault_outside_the_loader_comes_once_between_two_points() -> None:
    assert moments("SIGKILL") == [(A, "before"), (B, "before"), (B, "after"), (FILE, "before"), (FILE, "after")]
    assert moments("connection cut") == [(A, "before"), (B, "before"), (B, "after")]


def test_a_fault_within_the_loader_comes_before_and_after_each_point() -> None:
    assert moments("SIGTERM") == NESTED
    assert moments("loader's disk full") == NESTED[4:]


def test_every_fault_comes_to_every_point_that_it_can_meet() -> None:
    cases = Wanted().cases(kill_points.THOROUGH, NESTED)
    for fault in FAULTS:
        met = {case.moment[0] for case in cases if case.fault == fault}
        assert met == {point for point in (A, B, FILE) if point.kind in fault.kinds}


def test_a_sample_has_every_fault_and_all_kills_of_the_thorough_scenario() -> None:
    cases = Wanted(sample=1).cases(kill_points.THOROUGH, NESTED)
    assert {case.fault for case in cases} == set(FAULTS)
    assert [case.moment for case in cases if case.fault == KILL] == moments("SIGKILL")
    assert cases == Wanted(sample=1).cases(kill_points.THOROUGH, NESTED)


def test_a_fault_happens_once_and_where_it_is_meant_to() -> None:
    happened: list[int] = []
    second = Point("statement", "A", 2)
    points = Points((second, "after"), lambda: happened.append(len(points.moments)))
    hook = points._hook("statement")
    for _ in range(3):
        hook("A", "before")
        # A point that fails has ended, too.
        hook("A", "failed")
    assert happened == [4]


def test_rows_are_joined_by_moment_and_a_case_that_was_not_run_is_not_wrong() -> None:
    where = {"scenario": "zones, replaced", "kind": "statement", "name": "COMMIT"}
    found = [
        {**where, "point": 2, "when": "after", "faults": {"SIGTERM": "SystemExit; new; as golden"}},
        {**where, "point": 2, "when": "before", "faults": {"server's disk full": kill_points.NOT_RUN}},
        {**where, "point": 2, "when": "before", "faults": {"SIGKILL": "SIGKILL; neither; a reader saw part of it"}},
    ]
    rows = kill_points.joined(found)
    assert [(row["when"], list(row["faults"])) for row in rows] == [
        ("before", ["SIGKILL", "server's disk full"]),
        ("after", ["SIGTERM"]),
    ]
    (line,) = kill_points.failures(rows)
    assert line.startswith("zones, replaced: SIGKILL before point 2 (COMMIT): ")


def test_new_results_of_one_step_leave_those_of_the_other(tmp_path: Path) -> None:
    for step, seed, name in (("build", 1, "build, first one"), ("load", 2, "swap"), ("load", 3, "overwrite")):
        kill_points.publish(step, {"seed": seed}, [{"scenario": name}], tmp_path)
    there = measure.read("kill_points", tmp_path)
    assert there["rows"] == [{"scenario": "overwrite"}, {"scenario": "build, first one"}]
    assert there["steps"] == {"load": {"seed": 3}, "build": {"seed": 1}}
