"""Claims that circulate, each with its verdict: a table to filter by verdict and by orchestrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.summary.blocks import (
    TOOLS,
    Choice,
    cells,
    command,
    file,
    filtered,
    paragraph,
    section,
    shown,
    title,
    whole_table,
)  # fmt: skip
from benchmarks.summary.figures import Figure
from benchmarks.summary.markup import Content, Html, join, tag

Claim = Mapping[str, Any]
"""A mapping with `claim`, `where` it circulates, `verdict`, `figure` and `command`, and perhaps `tools`.

The figure is text, or a `Figure`; the tools are names in the results, of which each makes an option of the filter.
"""

VERDICTS = ("true", "false", "stale", "depends")
"""A stale claim was true of an older version."""

COLUMNS = ("verdict", "what was measured", "command")


def claims(found: Sequence[Claim]) -> Html | None:
    """Return the section; None without claims."""
    if not found:
        return None
    caption = "Claims that circulate, and what was measured"
    content = whole_table(["claim", *COLUMNS], map(_row, found), caption, words=True)
    verdicts = {word: word for word in VERDICTS if any(each["verdict"] == word for each in found)}
    tools = {name: title(name) for name in TOOLS if any(name in about(each) for each in found)}
    choices = [Choice("verdict", "Verdict", verdicts), Choice("tool", "About", tools)]
    return section(
        "claims",
        "What people say",
        paragraph("Each of these circulates in documentation, talks or interviews. Stale ones were true of an older "
                  "version. Running the command reproduces the figure within minutes. What to make of each is in ",
                  file("docs/claims.md"), "."),
        filtered("claims", "claims", choices, content),
    )  # fmt: skip


def about(claim: Claim) -> list[str]:
    """Return the orchestrators that a claim is about: those that it declares, or those that its words name."""
    if "tools" in claim:
        return list(claim["tools"])
    words = f"{claim['claim']} {claim['command']}".lower()
    return [name for name in TOOLS if name in words]


def marked(text: str) -> Html:
    """Return text in which what stands between backticks, as in Markdown, is code."""
    return join([tag("code", part) if number % 2 else part for number, part in enumerate(text.split("`"))])


def _row(claim: Claim) -> Html:
    figure: Content = shown(claim["figure"]) if isinstance(claim["figure"], Figure) else marked(claim["figure"])
    verdict = claim["verdict"]
    return tag(
        "tr",
        tag("th", marked(claim["claim"]), tag("small", claim["where"]), scope="row"),
        *cells(COLUMNS, [tag("span", verdict, class_=f"verdict-{verdict}"), figure, command(claim["command"])]),
        data_verdict=verdict,
        data_tool=" ".join(about(claim)),
    )
