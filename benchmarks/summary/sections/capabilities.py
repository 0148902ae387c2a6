"""Who can do what: the table of docs/capabilities.md, with the reason for each "no"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.summary.blocks import TITLES, Choice, Origin, filtered, paragraph, section, whole_table
from benchmarks.summary.data import CAPABILITIES, Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html, tag

_HEAD = re.compile(r"^\| capability \| meaning \| (.+) \|$", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| ((?:yes|no)(?: \| (?:yes|no))*) \|$", re.MULTILINE)
_REASON = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def capabilities(data: Data) -> Html | None:
    """Return the section; None without the page that it is read from."""
    text = data.capabilities()
    head = _HEAD.search(text)
    if head is None:
        return None
    names = head[1].split(" | ")
    reasons = {(name, tool): why for name, tool, why in _REASON.findall(text) if tool in names}
    rows = [_row(name, meaning, cells.split(" | "), names, reasons) for name, meaning, cells in _ROW.findall(text)]
    tools = {_word(name): name for name in names}
    choices = [Choice("has", "Supported by", tools), Choice("lacks", "Not supported by", tools)]
    return section(
        "capabilities",
        "What each of them can do",
        paragraph('On this project\'s services. Every "yes" is a test that passes. Every "no" is that test failing, '
                  "for the reason shown. Plain Python is the baseline and no candidate, so its \"no\" is gray."),
        filtered("capabilities", "capabilities", choices, _table(names, rows)),
        Origin("make parity", "a part of make test, which takes 45 minutes", [Results(CAPABILITIES, {})]).line(),
    )  # fmt: skip


def _table(names: Sequence[str], rows: Sequence[Html]) -> Html:
    return whole_table(["capability", *names], rows, "Capabilities by orchestrator, with the baseline", words=True)


def _row(
    name: str, meaning: str, cells: Sequence[str], names: Sequence[str], reasons: dict[tuple[str, str], str]
) -> Html:
    found = dict(zip(names, cells, strict=True))
    has, lacks = (" ".join(_word(tool) for tool, cell in found.items() if cell == word) for word in ("yes", "no"))
    head = tag("th", meaning.replace("`", ""), scope="row")
    columns = [_cell(tool, cell, reasons.get((name, tool))) for tool, cell in found.items()]
    return tag("tr", head, *columns, data_has=has, data_lacks=lacks)


def _cell(tool: str, cell: str, reason: Content) -> Html:
    mark = "✓ " if cell == "yes" else "✗ "
    why = tag("small", reason) if reason else None
    # The baseline is no orchestrator: that it lacks what one is for is nothing against it.
    kind = "neutral" if cell == "no" and tool == TITLES["plain"] else cell
    return tag("td", tag("span", mark, aria_hidden="true"), cell, why, class_=kind, data_label=tool)


def _word(tool: str) -> str:
    return tool.lower().replace(" ", "-")
