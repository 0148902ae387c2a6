"""A slice of `tests.faults.build_points`: the next build repairs what a fault leaves. And a proof that it can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from core.settings import ROOT
from tests.faults.injector import AS_UNDISTURBED

pytestmark = pytest.mark.slow

SLICE = """
import json, random
from tests.faults import build_points
from core.transform import pending

with build_points.bench() as made:
    scenario = next(each for each in build_points.SCENARIOS if each.name == "build, one month replaced")
    rows = build_points.measured(made, scenario, 12, random.Random(1), set())

    plan = pending.plan
    # Records a build before it is done.
    def hasty(connection, schema, month):
        found = plan(connection, schema, month)
        pending.write_versions(connection, schema, found.versions)
        return found
    pending.plan = hasty
    points, before, undisturbed = made.points(scenario)
    case = next(
        case for case in build_points.cases(points, scenario, set())
        if case.fault == "SIGKILL" and case.point.name.startswith("loader: DELETE FROM fct_trips")
    )
    print(json.dumps({"rows": rows, "hasty": made.case(scenario, case, before, undisturbed)}))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The slice's rows, and the outcome of a build that is recorded too early; in a process of its own, which forks."""
    done = subprocess.run([sys.executable, "-c", SLICE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def test_the_next_build_repairs_what_a_fault_leaves(found: dict[str, Any]) -> None:
    outcomes = [outcome for row in found["rows"] for outcome in row["faults"].values()]
    assert len(outcomes) == 12
    assert [
        each for each in outcomes if not each.endswith(f"; {AS_UNDISTURBED}") and not each.startswith("not run")
    ] == []


def test_a_build_that_is_recorded_before_it_is_done_is_caught(found: dict[str, Any]) -> None:
    assert found["hasty"].startswith("SIGKILL; old; what is recorded as built is not what the tables hold; ")
    assert "tables differs" in found["hasty"]
