"""The guide's answers in brief: how many rows of each question came out as expected."""

from __future__ import annotations

from benchmarks.summary.blocks import TOOLS, Origin, paragraph, section, shown, table, title
from benchmarks.summary.data import QUESTIONS, Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html, join, tag

WORDS = {
    "branch": "Branch and join: does the right path run?",
    "trigger_rules": "Trigger rules: what runs after which mix of outcomes?",
    "events": "Events: does a load set off the next pipeline?",
    "dependencies": "Dependencies: one pipeline after another",
    "values": "Values: does what one task hands on arrive as it was?",
    "dates": "Dates and schedules: which month does a run get?",
    "dynamic": "Dynamic work: a range as one mapped run",
    "limits": "Limits: what keeps two tasks apart?",
}


def guide(data: Data) -> Html | None:
    """Return the section; None when no question was asked."""
    asked = {name: found for name in QUESTIONS if (found := data.get(name))}
    if not asked:
        return None
    lines = [[WORDS[name], *(_cell(found, tool) for tool in TOOLS)] for name, found in asked.items()]
    head = ["question", *map(title, TOOLS)]
    return section(
        "guide",
        "What each of them was observed to do",
        paragraph("The same questions were put to all three, through their own services. A cell says how many rows "
                  "came out as the tool's documentation, or this project's promise, says. ", tag("b", "Emulated"),
                  " counts rows whose construct is ours, because the tool has none of its own. What each row is, with "
                  "the code of all three, is in ", tag("code", "docs/guide"), "."),
        table(head, lines, "Rows that came out as expected, of those that say what is expected", words=True),
        Origin("make guide", "under an hour", list(asked.values())).line(),
    )  # fmt: skip


def _cell(results: Results, tool: str) -> Content:
    checked, agreed, emulated = results.checked(tool), results.agreed(tool), results.built(tool, "emulated")
    if not checked.value:
        return "-"
    counts = [shown(agreed), " of ", shown(checked)]
    whole = tag("span", "✓ ", aria_hidden="true") if agreed.value == checked.value else None
    note = tag("small", shown(emulated), " emulated") if emulated.value else None
    return join([whole, *counts, note])
