"""The page on the kill points of a build, from the results of `benchmarks.build_points`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.markdown import header, table


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    cases = [
        (row["scenario"], fault, *outcome.split("; ", 2))
        for row in result["rows"]
        for fault, outcome in row["faults"].items()
        if not outcome.startswith("not run")
    ]
    wrong = [case for case in cases if case[-1] != "as golden"]
    return "\n".join(
        [
            header("Faults in a build", "build_points", result),
            f"{len(cases):,} faults before or after a statement or a file operation of a build, of the loader's or of dbt's, at points "
            f"found by instrumentation (`python -m benchmarks.build_points`). {_how_complete(result)}\n",
            f"As golden are {len(cases) - len(wrong):,} of {len(cases):,}: no reader saw part of a month, nothing was recorded as built that "
            "was not, the error was one of `core.errors`, and the same steps, run again undisturbed, left all tables, ledgers and test "
            "results as a run without a fault does.\n",
            "## What happened\n",
            table(
                ["fault", "cases", "as golden", "how the first run ended"],
                [_of(fault, cases) for fault in sorted({case[1] for case in cases})],
            ),
            "## Where\n",
            table(
                ["scenario", "cases", "as golden"],
                [
                    [name, str(sum(case[0] == name for case in cases)), str(_golden(case for case in cases if case[0] == name))]
                    for name in dict.fromkeys(row["scenario"] for row in result["rows"])
                ],
            ),
            "## What a reader saw\n",
            "A month of `fct_trips` is replaced in one transaction, `daily_borough_stats` in the next one: between them a reader sees the "
            "new month beside the old stats. Each is whole.\n",
            table(["", "cases"], [[seen, str(n)] for seen, n in Counter(case[3] for case in cases).most_common()]),
        ]
    )  # fmt: skip


def _how_complete(result: dict[str, Any]) -> str:
    if result["complete"]:
        return "Which fault comes to which point, and which points are alike, says `benchmarks/build_rules.py`."
    return f"A sample: {result['sample']} cases of each scenario at most, drawn with seed {result['seed']}, not all points."


def _golden(cases: Any) -> int:
    return sum(case[-1] == "as golden" for case in cases)


def _of(fault: str, cases: list[Any]) -> list[str]:
    of_it = [case for case in cases if case[1] == fault]
    ended = Counter(case[2] for case in of_it)
    return [fault, str(len(of_it)), str(_golden(of_it)), ", ".join(f"{how} {n}" for how, n in ended.most_common())]
