"""Reported bugs, reproduced on all three: the verdict of each case."""

from __future__ import annotations

from benchmarks.summary.blocks import TOOLS, Origin, file, paragraph, section, shown, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html, join, tag
from tests.conformance.cases import VERDICTS, cases


def conformance(data: Data) -> Html | None:
    """Return the section; None without results."""
    results = data.get("conformance")
    if results is None:
        return None
    known = cases()
    lines = [
        [
            join([known[name].question, tag("small", known[name].report)]),
            *(_cell(results, name, tool) for tool in TOOLS),
        ]
        for name in sorted(results.names("case"), key=lambda name: known[name].theme)
        if name in known
    ]
    # `make conformance AGAIN=1` asks all of them, one after the other.
    minutes = round(sum(row["seconds"] for row in results.rows) / 60)
    meanings = "; ".join(f"{verdict}: {meaning}" for verdict, meaning in VERDICTS.items())
    return section(
        "conformance",
        "Reported bugs, reproduced on all three",
        paragraph("Each case was reported as a bug of one of them, and is asked of all, on their own services. A "
                  f"verdict is about the case, and computed from what was observed ({meanings}). There is no score: "
                  "bugs are found where they are reported. The code, the log and what was observed are in ",
                  file("docs/conformance.md"), "."),
        table(["case", *map(title, TOOLS)], lines, "Verdicts, and how often the right answer was observed", words=True),
        Origin("make conformance AGAIN=1", f"{minutes} minutes", [results]).line(),
    )  # fmt: skip


def _cell(results: Results, case: str, tool: str) -> Content:
    rows = results.of(case=case, tool=tool)
    if not rows:
        return "not run"
    row = rows.rows[0]
    k, n = (results.value(results.rows.index(row), key, whole=True) for key in ("k", "n"))
    often = tag("small", shown(k), " of ", shown(n)) if row["n"] > 1 else None
    kind = {"right": "yes", "wrong": "no"}.get(row["verdict"], "neutral")
    return join([tag("span", row["verdict"], class_=kind), often])
