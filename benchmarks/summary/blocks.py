"""The blocks that sections are made of: figures, tables, charts with their table, and where a figure comes from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.summary.figures import Figure, Range, Results
from benchmarks.summary.markup import Content, Html, join, tag

TITLES = {"plain": "Plain Python", "airflow": "Airflow", "dagster": "Dagster", "prefect": "Prefect"}
"""Who is compared, with the baseline, by the names in the results."""

TOOLS = ("airflow", "dagster", "prefect")


PLACE = "docs"
"""The folder of the page in the checkout."""

MOST_COLUMNS = 3
"""Columns of figures for which there is room on a phone."""


def title(name: str) -> str:
    """Return the name of an orchestrator as a reader knows it; another name as it is."""
    return TITLES.get(name, name)


def color(name: str) -> str:
    """Return the class that colors what belongs to an orchestrator."""
    return f"tool-{name}" if name in TITLES else "tool-other"


def shown(figure: Figure | None, *, precise: bool = False) -> Html:
    """Return a figure with the expression that it is the value of; a dash for none."""
    if figure is None:
        return Html("-")
    text = figure.precise if precise else figure.text
    return tag("span", text, data_value=repr(figure.value), data_source=figure.source)


def spread(found: Range | None, mark: Html | None = None) -> Html:
    """Return a median and its mark, if any, above its smallest and its largest value."""
    if found is None:
        return join(["-", mark])
    is_single = found.rounds == 1
    ends = ["1 round"] if is_single else [shown(found.low), " - ", shown(found.high)]
    return join([shown(found.median), mark, tag("small", " (", *ends, ")")])


def file(path: str, words: Content = None) -> Html:
    """Return a link to a file or a folder of the checkout, by its path there: the page lies in `PLACE`."""
    return tag("a", words or tag("code", path), href=posixpath.relpath(path, PLACE))


def command(words: str) -> Html:
    """Return a command, whose lines break between its words only: an option stays with its dashes."""
    parts = re.split(r"(?<!\S)(--?\w[\w-]*)", words)
    spans = (tag("span", part, class_="whole") if place % 2 else part for place, part in enumerate(parts))
    return tag("code", *spans)


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], caption: Content, *, words: bool = False) -> Html:
    """Return a table whose first column is its row heads; all others are figures, unless they are `words`.

    On a phone, a table of words, or of more than three columns, is a block for each row.
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
    kind = "words stacked" if words else "figures stacked" if len(head) > MOST_COLUMNS else "figures"
    return scrolled(tag("table", *parts, class_=kind), caption)


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
        files = join((file(each.path) for each in self.files), ", ")
        when = ", ".join(dict.fromkeys(day for each in self.files for day in measured_on(each)))
        return tag(
            "p",
            tag("span", "Reproduce: ", command(self.command), f" ({self.takes}). "),
            tag("span", "Data: ", files, f", measured {when}." if when else "."),
            *busy(self.files),
            class_="origin",
        )


def measured_on(results: Results) -> list[str]:
    """Return the days of the measurements; none for results that do not say it."""
    found = [results.at(*keys)["measured_at"] for keys in results.runs()]
    return list(dict.fromkeys(str(each)[:10] for each in found))


def busy(files: Sequence[Results]) -> Iterator[Html]:
    """Yield a warning for each measurement that began on a machine of which over half of the cores were in use."""
    for each in files:
        for keys in each.runs():
            load = each.value(*keys, "machine", "load_average_at_start")
            cores = each.value(*keys, "machine", "cores", whole=True)
            if load.value > cores.value / 2:
                step = f" ({keys[-1]})" if keys else ""
                yield tag("span", tag("b", "The machine was busy"), f" when {each.name}{step} began: load average ",
                          shown(load), " on ", shown(cores), " cores.", class_="busy")  # fmt: skip


def chart(name: str, caption: Content, drawing: Html, alternative: Html) -> Html:
    """Return a chart under its caption, with the table of its figures.

    The drawing refers to the caption as `caption_id(name)`.
    """
    details = tag("details", tag("summary", "Show these figures as a table"), alternative)
    return tag("figure", tag("figcaption", caption, id=caption_id(name)), drawing, details, id=name)


def charts(*contents: Html, columns: int = 3) -> Html:
    """Return charts side by side, at most so many in a row."""
    return tag("div", *contents, class_=f"charts charts-{columns}")


def terms(meanings: Mapping[str, Content]) -> Html:
    """Return words, each with its meaning in one line."""
    lines = [part for word, words in meanings.items() for part in (tag("dt", word), tag("dd", words))]
    return tag("dl", *lines, class_="terms")


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
