"""The page on faults, from the results of `tests.faults.soak` and `tests.faults.kill_points`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.harness.markdown import AIMS, header, table, verdict
from benchmarks.harness.measure import Row
from tests.faults import build_page as build_points_page
from tests.faults.kill_points import is_wrong, outcomes, step_of, was_run
from tests.faults.stage import FAULTS

DAMAGE = ("lost_rows", "extra_rows", "partial_reads", "ledger_mismatches")


def page(result: dict[str, Any]) -> str:
    """Return the whole page, with the kill points if there are results of them."""
    parts = [
        header("Fault injection", "tests/faults/results/soak.json", result),
        "## Random kills\n",
        f"{result['kills']:,} loaders were ended by SIGKILL at a random instant (seed {result['seed']}). Up to three "
        "at a time loaded the same three months, by all strategies, while files were replaced. A reader queried "
        f"them {result['polls']:,} times.\n",
        table(["phase of the kill", "kills"], [[row["phase"], f"{row['kills']:,}"] for row in result["rows"]]),
        "## Against the aims\n",
        table(
            AIMS,
            [
                verdict("kills", result["kills"], 1000, at_least=True),
                *(_none(key.replace("_", " "), result[key]) for key in DAMAGE),
            ],
        ),
        *_contrast(result),
    ]
    if found := result.get("kill_points"):
        of = {step: [row for row in found["rows"] if step_of(row) == step] for step in found["steps"]}
        parts += _points(of["load"], found["steps"]["load"]) if "load" in of else []
        parts += build_points_page.section(of["build"], found["steps"]["build"]) if "build" in of else []
    return "\n".join(parts)


def _none(aim: str, found: int) -> list[str]:
    return [aim, "none", str(found), "met" if found == 0 else "missed"]


def _contrast(result: dict[str, Any]) -> list[str]:
    found = result["contrast"]
    if found is None:
        return []
    alone = found["without_kills"]
    return [
        "## The contrast\n",
        f"The usual pattern (delete the month by pickup date on one connection, pandas' `to_sql` on another) under "
        f"{found['kills']} kills of the same kind, then one clean pass. It is not the strategy `delete-append` below, "
        "which deletes by the file's month and appends in the same transaction.\n",
        table(
            ["", "lost rows", "extra rows"],
            [
                ["usual pattern, without a kill", str(alone["lost_rows"]), str(alone["extra_rows"])],
                ["usual pattern, after the kills", str(found["lost_rows"]), str(found["extra_rows"])],
                [f"this project, after {result['kills']:,} kills", str(result["lost_rows"]), str(result["extra_rows"])],
            ],
        ),
    ]


def _points(rows: list[Row], facts: Row) -> list[str]:
    """Return which faults each scenario met, how its loader ended, and which cases were not run."""
    found = list(outcomes(rows))
    faults = list(dict.fromkeys([*(fault.name for fault in FAULTS), *(fault for _, fault, _ in found)]))
    scenarios = dict.fromkeys(row["scenario"] for row, *_ in found)
    points = {scenario: {row["point"] for row, *_ in found if row["scenario"] == scenario} for scenario in scenarios}
    cases = Counter((row["scenario"], fault) for row, fault, outcome in found if was_run(outcome))
    wrong = sum(is_wrong(outcome) for *_, outcome in found)
    not_run = Counter((fault, outcome) for _, fault, outcome in found if not was_run(outcome))
    return [
        "## Every kill point\n",
        build_points_page.how_measured(facts),
        "Each statement and piece of a COPY that a loader sends, and each of its file operations, is a kill point. "
        "One run is watched to find them. Each fault is injected before and after each point that it can meet; for "
        "a fault outside the loader, the moment after one point is the moment before the next. Then a reader must "
        "see the complete old month or the complete new one, and a ledger that agrees; and after one more run, "
        "tables, ledger, relations and the files of the state folder must equal those of an undisturbed run. "
        "`tests/faults/results/kill_points.json` lists each case.\n",
        table(
            ["scenario", "points", *faults],
            [[name, str(len(points[name])), *(f"{cases[name, fault]:,}" for fault in faults)] for name in scenarios],
        ),
        table(
            ["how the loader ended", *faults],
            [[end, *(f"{number:,}" if number else "" for number in numbers)] for end, numbers in _ends(found, faults)],
        ),
        table(
            AIMS,
            [
                [
                    "cases that differ from an undisturbed run",
                    "none",
                    f"{wrong} of {cases.total():,}",
                    "met" if wrong == 0 else "missed",
                ]
            ],
        ),
        *(f"{fault}, {number:,} cases: {why}.\n" for (fault, why), number in not_run.items()),
    ]


def _ends(found: list[Any], faults: list[str]) -> list[tuple[str, list[int]]]:
    ends = Counter((outcome.partition(";")[0], fault) for _, fault, outcome in found if was_run(outcome))
    names = sorted({end for end, _ in ends})
    return [(name, [ends[name, fault] for fault in faults]) for name in names]
