"""The section on the kill points of a build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.harness.markdown import AIMS, measured_on, table
from benchmarks.harness.measure import Row
from tests.faults.kill_points import is_wrong, outcomes, was_run

Case = tuple[str, str, str, str, bool]
"""Scenario, fault, how the first run ended, what a reader saw, and whether all was as undisturbed in the end."""


def how_measured(facts: Row) -> str:
    """Return when and on what a step's cases were run, and whether these are all of them."""
    sample = "" if facts["complete"] else ", and **is a sample of the cases**"
    return f"{measured_on(facts)} It took {facts['seconds'] / 60:.0f} minutes{sample}.\n"


def section(rows: Sequence[Row], facts: Row) -> list[str]:
    """Return which faults each build met, how its loader ended, and what a reader saw."""
    cases = list(_cases(rows))
    wrong = sum(not as_undisturbed for *_, as_undisturbed in cases)
    faults = list(dict.fromkeys(fault for _, fault, *_ in cases))
    return [
        "## Every kill point of a build\n",
        how_measured(facts),
        "The kill points of transform and check are each statement that the loader or dbt sends, each file that "
        "they open for writing, rename or remove, and the start of dbt. SIGKILL is injected at every point of a "
        "build of one month and of one with nothing pending, every other fault once at each kind of point "
        "(`tests/faults/build_rules.py`). Then a reader must see all marts old or all marts new; what is recorded "
        "must be what they hold; and after one more run, tables, ledgers and test results must equal those of an "
        "undisturbed run.\n",
        table(["scenario", "points", *faults], [_counts(name, rows, cases, faults) for name in _names(rows)]),
        table(["how the loader ended", *faults], _ends(cases, faults)),
        table(
            AIMS,
            [
                [
                    "cases that differ from an undisturbed run",
                    "none",
                    f"{wrong} of {len(cases):,}",
                    "met" if wrong == 0 else "missed",
                ]
            ],
        ),
        f"One transaction publishes all marts of a build. So a reader saw all of them old in {_saw('old', cases)} of "
        f"these cases and all of them new in {_saw('new', cases)}; in {_saw('the same', cases)} there was nothing to "
        f"change. In {_saw('new ', cases)} a view existed already, before the first publication of the marts.\n",
    ]


def _cases(rows: Iterable[Row]) -> Iterable[Case]:
    for row, fault, outcome in outcomes(rows):
        if was_run(outcome):
            end, seen, _ = outcome.split("; ", 2)
            yield row["scenario"], fault, end, seen, not is_wrong(outcome)


def _saw(what: str, cases: Sequence[Case]) -> int:
    """Return in how many cases a reader saw `what` or, if that ends in a blank, something that begins with it."""
    return sum(seen.startswith(what) if what.endswith(" ") else seen == what for *_, seen, _ in cases)


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["scenario"] for row in rows))


def _counts(name: str, rows: Iterable[Row], cases: Sequence[Case], faults: Sequence[str]) -> list[str]:
    points = len({row["point"] for row in rows if row["scenario"] == name})
    counts = Counter(fault for scenario, fault, *_ in cases if scenario == name)
    return [name, str(points), *(f"{counts[fault]:,}" if counts[fault] else "" for fault in faults)]


def _ends(cases: Sequence[Case], faults: Sequence[str]) -> list[list[str]]:
    ends = Counter((end, fault) for _, fault, end, *_ in cases)
    names = sorted({end for end, _ in ends})
    return [[name, *(f"{ends[name, fault]:,}" if ends[name, fault] else "" for fault in faults)] for name in names]
