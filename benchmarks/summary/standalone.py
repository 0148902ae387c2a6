"""A chart as a file of its own, for a page in Markdown: it brings its colors, light and dark, and its legend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.summary import svg
from benchmarks.summary.markup import Html, join, tag

WIDTH, MARGIN, ENTRY = 800, 16, 22
"""Pixels: of the picture, of the space around it, and the height of a line of the legend."""

IN_A_LINE = 3
"""How many entries of the legend are side by side."""


def stacked(stacks: Sequence[svg.Stack], colors: Mapping[str, str], name: str) -> str:
    """Return the file of a stacked chart; `name` is what a screen reader says of it."""
    lines = -(-len(colors) // IN_A_LINE)
    top = MARGIN + lines * ENTRY + 8
    height = top + len(stacks) * svg.LINE + svg.AXIS + MARGIN
    # The marks of a chart are in percent of what is around it.
    chart = tag("svg", svg.stacked(stacks, colors, "name"), x=MARGIN, y=top, width=WIDTH - 2 * MARGIN)
    background = tag("rect", class_="background", width=WIDTH, height=height)
    parts = [tag("title", name, id="name"), tag("style", style()), background, *_legend(colors), chart]
    return tag("svg", join(parts), xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", width=WIDTH,
               height=height)  # fmt: skip


def _legend(colors: Mapping[str, str]) -> list[Html]:
    found = []
    for number, (words, color) in enumerate(colors.items()):
        line, column = divmod(number, IN_A_LINE)
        x, y = MARGIN + column * (WIDTH - 2 * MARGIN) // IN_A_LINE, MARGIN + line * ENTRY
        swatch = tag("rect", class_=color, x=x, y=y, width=12, height=12)
        found.append(tag("g", swatch, tag("text", words, x=x + 18, y=y + 11), class_="chart"))
    return found


def style() -> Html:
    """Return the rules of the report's own style that a chart needs. A viewer's `light-dark` may be missing."""
    text = (Path(__file__).parent / "page.css").read_text()
    colors = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", text)
    light, dark = (";".join(f"--{name}:{pair[theme]}" for name, *pair in colors) for theme in (0, 1))
    rules = re.findall(r"^\.(?:chart|part-\w+)(?: .*)?\{.*\}$", text, re.MULTILINE)
    schemes = [f":root{{{light}}}", f"@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"]
    return Html("\n".join(["", *schemes, ".background{fill:var(--card)}", *rules, ""]))
