"""Charts as SVG, drawn for every width: positions are percentages, and text keeps its size on a phone.

A line of a chart is a label and, below it, the mark. A chart is a picture to a screen reader, which is told its caption
and led to the table of the same figures (`benchmarks.summary.blocks.chart`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.summary.figures import Figure, Range
from benchmarks.summary.markup import Html, join, tag

WIDTH = 80.0
"""Percent of the width for the marks; the rest is for the figure behind the longest of them."""

LINE, AXIS = 48, 22
"""Pixels: the height of a line, and of the axis below them."""


@dataclass(frozen=True)
class Mark:
    """A line of a chart of one value each: who, how much, in which color."""

    label: str
    range: Range
    color: str = "tool-other"


@dataclass(frozen=True)
class Scale:
    """From values to percent of the width."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def linear(cls, values: Iterable[float]) -> Scale:
        """Return the scale from nothing to the largest value."""
        return cls(0.0, max(values, default=0.0) or 1.0)

    @classmethod
    def logarithmic(cls, values: Sequence[float]) -> Scale:
        """Return the scale from the power of ten below the smallest value to the largest."""
        smallest = min(value for value in values if value > 0)
        return cls(10.0 ** math.floor(math.log10(smallest)), max(values), log=True)

    def at(self, value: float) -> float:
        """Return where a value is, in percent of the width."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / (math.log(self.high / self.low) or 1.0)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(WIDTH * share, 2)

    def ticks(self) -> list[float]:
        """Return round values on the scale: powers of ten, or up to six, in steps of 1, 2 or 5."""
        if self.log:
            first, last = math.log10(self.low), math.floor(math.log10(self.high))
            return [10.0**power for power in range(round(first), last + 1)]
        rough = self.high / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
        return [count * step for count in range(int(self.high / step) + 1)]


def bars(marks: Sequence[Mark], label: str, scale: Scale | None = None) -> Html:
    """Return a bar for each median, with a whisker from the smallest to the largest value.

    Charts that are compared have one `scale`, of all their marks.
    """
    scale = scale or linear(marks)
    lines = [_bar(mark, scale, number * LINE) for number, mark in enumerate(marks)]
    return _chart(label, scale, len(marks), lines)


def dots(marks: Sequence[Mark], label: str, scale: Scale | None = None) -> Html:
    """Return a dot for each median on a logarithmic scale, where bars would have no start."""
    scale = scale or logarithmic(marks)
    lines = [_dot(mark, scale, number * LINE) for number, mark in enumerate(marks)]
    return _chart(label, scale, len(marks), lines)


def linear(marks: Iterable[Mark]) -> Scale:
    """Return the scale of bars that has room for these marks."""
    return Scale.linear([mark.range.high.value for mark in marks])


def logarithmic(marks: Iterable[Mark]) -> Scale:
    """Return the scale of dots that has room for these marks."""
    return Scale.logarithmic([value.value for mark in marks for value in (mark.range.low, mark.range.high)])


def _bar(mark: Mark, scale: Scale, top: int) -> Html:
    end = scale.at(mark.range.median.value)
    bar = tag(
        "rect",
        class_=f"bar {mark.color}",
        y=top + 19,
        width=f"{end}%",
        height=12,
        data_value=repr(mark.range.median.value),
    )
    return tag("g", _label(mark.label, top), bar, _whisker(mark.range, scale, top), _value(mark.range, scale, top))


def _dot(mark: Mark, scale: Scale, top: int) -> Html:
    at = f"{scale.at(mark.range.median.value)}%"
    dot = tag("circle", class_=f"bar {mark.color}", cx=at, cy=top + 25, r=6)
    return tag("g", _label(mark.label, top), _whisker(mark.range, scale, top), dot, _value(mark.range, scale, top))


def _label(text: str, top: int) -> Html:
    return tag("text", text, class_="label", y=top + 13)


def _whisker(found: Range, scale: Scale, top: int) -> Html:
    low, high = (f"{scale.at(each.value)}%" for each in (found.low, found.high))
    if low == high:
        return Html()
    # Below the mark: so the figure stands at the median, and the whisker does not cross it.
    ends = [tag("line", x1=x, x2=x, y1=top + 34, y2=top + 40) for x in (low, high)]
    return tag("g", tag("line", x1=low, x2=high, y1=top + 37, y2=top + 37), *ends, class_="whisker")


def _value(found: Range, scale: Scale, top: int) -> Html:
    at = f"{scale.at(found.median.value)}%"
    return tag("text", found.median.text, class_="value", x=at, dx=10, y=top + 30, **_sourced(found.median))


def _sourced(figure: Figure) -> dict[str, str]:
    return {"data_value": repr(figure.value), "data_source": figure.source}


def _chart(label: str, scale: Scale, lines: int, contents: Iterable[Html]) -> Html:
    height = lines * LINE + AXIS
    content = join([_axis(scale, lines * LINE), *contents])
    return tag("svg", content, class_="chart", role="img", aria_labelledby=label, width="100%", height=height)


def _axis(scale: Scale, height: int) -> Html:
    parts = []
    for tick in scale.ticks():
        at = f"{scale.at(tick)}%"
        anchor = "start" if tick == scale.low else "middle"
        parts.append(tag("line", class_="grid", x1=at, x2=at, y1=0, y2=height))
        parts.append(tag("text", f"{tick:,g}", class_="tick", x=at, y=height + 16, text_anchor=anchor))
    return tag("g", *parts)


@dataclass(frozen=True)
class Stack:
    """A line of a stacked chart: its parts by name, which add up to the figure behind them."""

    label: str
    parts: Mapping[str, Figure]
    total: Figure


def stacked(stacks: Sequence[Stack], colors: Mapping[str, str], label: str) -> Html:
    """Return a bar for each stack, of one piece for each part."""
    scale = Scale.linear([stack.total.value for stack in stacks])
    lines = [_stack(stack, colors, scale, number * LINE) for number, stack in enumerate(stacks)]
    return _chart(label, scale, len(stacks), lines)


def _stack(stack: Stack, colors: Mapping[str, str], scale: Scale, top: int) -> Html:
    pieces, start = [], 0.0
    for name, figure in stack.parts.items():
        width = scale.at(figure.value)
        hint = tag("title", f"{name}: {figure.text} s")
        piece = tag("rect", class_=colors[name], x=f"{start:.2f}%", y=top + 19, width=f"{width}%", height=12)
        pieces.append(tag("g", hint, piece))
        start += width
    total = Range(stack.total, stack.total, stack.total)
    return tag("g", _label(stack.label, top), *pieces, _value(total, scale, top))


@dataclass(frozen=True)
class Strip:
    """A line of a time line: for each color, from when to when it is shown, in seconds."""

    label: str
    spans: Mapping[str, Sequence[tuple[float, float]]]
    total: Figure


def time_lines(strips: Sequence[Strip], label: str) -> Html:
    """Return a line for each strip, all of them from the same start on the same scale."""
    scale = Scale.linear([strip.total.value for strip in strips])
    lines = [_strip(strip, scale, number * LINE) for number, strip in enumerate(strips)]
    return _chart(label, scale, len(strips), lines)


def _strip(strip: Strip, scale: Scale, top: int) -> Html:
    """Draw all spans of a color as one path: a page of hundreds of rectangles would be too large to send."""
    paths = [
        tag("path", class_=color, d="".join(f"M{a:.4g} 0H{b:.4g}V1H{a:.4g}z" for a, b in spans))
        for color, spans in strip.spans.items()
    ]
    inner = tag("svg", *paths, y=top + 18, width=f"{WIDTH}%", height=16, viewBox=f"0 0 {scale.high:.6g} 1",
                preserveAspectRatio="none")  # fmt: skip
    total = Range(strip.total, strip.total, strip.total)
    return tag("g", _label(strip.label, top), inner, _value(total, scale, top))


def legend(colors: Mapping[str, str]) -> Html:
    """Return what each color means."""
    items = [tag("li", tag("span", class_=f"swatch {color}"), name) for name, color in colors.items()]
    return tag("ul", *items, class_="legend")
