"""The blocks that sections are made of: figures, tables, charts with their table, and where a figure comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.summary.figures import Figure, Range, Results
from benchmarks.summary.markup import Content, Html, join, tag

TITLES = {"plain": "Plain Python", "airflow": "Airflow", "dagster": "Dagster", "prefect": "Prefect"}
"""Who is compared, with the baseline, by the names in the results."""

TOOLS = ("airflow", "dagster", "prefect")


def title(name: str) -> str:
    """Return the name of an orchestrator as a reader knows it; another name as it is."""
    return TITLES.get(name, name)


def color(name: str) -> str:
    """Return the class that colors what belongs to an orchestrator."""
    return f"tool-{name}" if name in TITLES else "tool-other"


def shown(figure: Figure | None) -> Html:
    """Return a figure with the expression that it is the value of; a dash for none."""
    if figure is None:
        return Html("-")
    return tag("span", figure.text, data_value=repr(figure.value), data_source=figure.source)


def spread(found: Range | None) -> Html:
    """Return a median with its smallest and its largest value."""
    if found is None:
        return Html("-")
    ends = tag("small", " (", shown(found.low), " - ", shown(found.high), ")")
    return join([shown(found.median), ends])


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], caption: Content, *, words: bool = False) -> Html:
    """Return a table whose first column is its row heads; all others are figures, unless they are `words`.

    On a phone, a table of words is a block for each row, and one of figures scrolls sideways.
    """
    lines = [tag("tr", tag("th", first, scope="row"), *cells(head[1:], rest)) for first, *rest in rows]
    return whole_table(head, lines, caption, words=words)


def cells(head: Sequence[Content], contents: Sequence[Content]) -> list[Html]:
    """Return the cells of a row. Each says to a phone, where there is no room for columns, what it is."""
    return [tag("td", each, data_label=name) for name, each in zip(head, contents, strict=True)]


def whole_table(head: Sequence[Content], rows: Iterable[Html], caption: Content, *, words: bool) -> Html:
    """Return a table of these rows, which scrolls by itself when it is wider than the page."""
    heads = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))
    parts = [tag("caption", caption), heads, tag("tbody", *rows)]
    return scrolled(tag("table", *parts, class_="words" if words else "figures"), caption)


def scrolled(content: Html, name: Content) -> Html:
    """Return content that scrolls sideways by itself when it is wider than the page."""
    plain = name if isinstance(name, str) and not isinstance(name, Html) else "Table"
    return tag("div", content, class_="scroll", tabindex=0, role="region", aria_label=plain)


@dataclass(frozen=True)
class Origin:
    """How to reproduce a figure, and where its data are."""

    command: str
    takes: str
    files: Sequence[Results]

    def line(self) -> Html:
        """Return one line: the command, its time, the files, and when they were measured."""
        files = join((tag("code", each.path) for each in self.files), ", ")
        when = ", ".join(dict.fromkeys(day for each in self.files if (day := measured_on(each))))
        return tag(
            "p",
            tag("span", "Reproduce: ", tag("code", self.command), f" ({self.takes}). "),
            tag("span", "Data: ", files, f", measured {when}." if when else "."),
            class_="origin",
        )


def measured_on(results: Results) -> str:
    """Return the day of the measurement; empty for results that do not say it."""
    content = results.content
    return str(content["measured_at"])[:10] if isinstance(content, Mapping) and "measured_at" in content else ""


def chart(name: str, caption: Content, drawing: Html, alternative: Html, origin: Origin | None = None) -> Html:
    """Return a chart under its caption, with the table of its figures, and where they come from.

    The drawing refers to the caption as `caption_id(name)`.
    """
    details = tag("details", tag("summary", "Show these figures as a table"), alternative)
    parts = [drawing, details, origin.line() if origin else None]
    return tag("figure", tag("figcaption", caption, id=caption_id(name)), *parts, id=name)


def caption_id(name: str) -> str:
    """Return the id of a chart's caption."""
    return f"{name}-caption"


def section(name: str, heading: str, *contents: Content) -> Html:
    """Return a section with its heading, which names it to a screen reader."""
    head = tag("h2", heading, id=f"{name}-heading")
    return tag("section", head, *contents, id=name, aria_labelledby=f"{name}-heading")


def paragraph(*contents: Content, **attributes: Any) -> Html:
    """Return a paragraph."""
    return tag("p", *contents, **attributes)


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: A, B and C."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


@dataclass(frozen=True)
class Choice:
    """One list to filter a table by: rows whose attribute ``data-<key>`` holds the chosen word are shown."""

    key: str
    label: str
    options: Mapping[str, str]
    """What a row holds, and what a reader sees; without a choice all rows are shown."""


def filtered(name: str, noun: str, choices: Sequence[Choice], content: Html) -> Html:
    """Return a table with lists to filter it by. Without scripts there are no lists, and all rows are shown."""
    fields = [
        tag("label", choice.label, tag("select", tag("option", "any", value=""), *_options(choice), name=choice.key))
        for choice in choices
    ]
    count = tag("output", aria_live="polite", data_noun=noun)
    return tag("div", tag("form", *fields, count, class_="filters", hidden=True), content, data_filter=name)


def _options(choice: Choice) -> list[Html]:
    return [tag("option", shown, value=word) for word, shown in choice.options.items()]
