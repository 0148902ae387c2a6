"""The guide's answers in brief: how many rows of each question came out as expected."""

from __future__ import annotations

from benchmarks.harness.measure import Row
from benchmarks.summary.blocks import TOOLS, Origin, file, paragraph, section, shown, table, title
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
    "recovery": "Recovery: what runs again after a failure, and what stops when it is canceled?",
}


MOST = 20
"""How many of the checks that did not behave as expected are listed for each tool."""

OTHER_KEYS = {*TOOLS, "expected", "native"}
"""What a row holds besides the names of its case."""


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
        paragraph("The same questions were put to all three, through their own services. A cell has the checks that "
                  "behaved as expected, of the checks made. What is expected is the same for all three: what the "
                  "documentation says, or this project promises. ", tag("b", "Emulated"), ": the tool lacks the "
                  "feature, we built it from other parts. Checks without an expected answer, which show what each one "
                  "does, are not counted here. The code of all three is in ", file("docs/guide"),
                  "."),
        table(head, lines, "Checks that behaved as expected, of the checks made", words=True),
        *(made for name, found in asked.items() if (made := _differences(name, found))),
        Origin("make guide", "under an hour", list(asked.values())).line(),
    )  # fmt: skip


def _cell(results: Results, tool: str) -> Content:
    checked, agreed, emulated = results.checked(tool), results.agreed(tool), results.built(tool, "emulated")
    if not checked.value:
        return "-"
    counts = [shown(agreed), " of ", shown(checked)]
    all_agreed = agreed.value == checked.value
    mark = tag("span", "✓ ", aria_hidden="true") if all_agreed else None
    link = None if all_agreed else tag("small", tag("a", "what differs", href=f"#{_id(results.name)}"))
    note = tag("small", shown(emulated), " emulated") if emulated.value else None
    return join([mark, *counts, link, note])


def _id(question: str) -> str:
    return f"differs-{question.replace('_', '-')}"


def _differences(question: str, results: Results) -> Html | None:
    """Return the first checks of each tool that did not behave as expected, folded; None when all did."""
    lines = [line for tool in TOOLS for line in _different(results, tool)]
    if not lines:
        return None
    caption = join(["All checks, with their code: ", file(f"docs/guide/{question}.md")])
    content = table(["tool", "check", "expected", "observed"], lines, caption, words=True)
    words = f"{WORDS[question].partition(':')[0]}: what differs from what was expected"
    return tag("details", tag("summary", words), content, id=_id(question))


def _different(results: Results, tool: str) -> list[list[Content]]:
    """Return a line for each of the first checks of a tool that differ, and how many more there are."""
    found = results.differing(tool)
    lines: list[list[Content]] = [
        [title(tool), _case(row), _written(row["expected"]), _written(row[tool])] for row in found[:MOST]
    ]
    if len(found) > MOST:
        more = results.checked(tool) - results.agreed(tool)
        lines.append([title(tool), join(["... of ", shown(more), " in all"]), "", ""])
    return lines


def _case(row: Row) -> str:
    """Return what a check is about: the values that name its case."""
    return ", ".join(_written(value) for key, value in row.items() if key not in OTHER_KEYS and value != "")


def _written(value: object) -> str:
    """Return an answer as a reader would write it: without the signs of JSON."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_written(each)}" for key, each in value.items()) or "nothing"
    if isinstance(value, list):
        return "; ".join(map(_written, value)) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)
