"""The headline: the tables are identical, and what kills and faults did to them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.harness.measure import Row
from benchmarks.summary.blocks import Origin, paragraph, section, shown, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Results
from benchmarks.summary.markup import Content, Html, tag
from tests.faults.kill_points import is_wrong, outcomes, was_run

IDENTICAL = "identical"
"""The recorded command that backfills everywhere, and compares the tables."""


WHY = (
    "The usual pattern deletes a month by pickup date, then appends its file on another connection. A file holds some "
    "trips picked up in another month: the delete removes those that another file brought, and a second attempt "
    "appends its own again. This project's strategy ", tag("code", "delete-append"), " is not that: it deletes by the "
    "month of the file, and appends in the same transaction.",
)  # fmt: skip
"""Why the usual pattern loses rows, and how the strategy that sounds like it differs."""


def headline(data: Data) -> Html | None:
    """Return the section, of what there are results of; None without any."""
    tables = _tables(data.get("commands"))
    faults = [*_kills(data.get("soak")), *_points(data.get("kill_points"))]
    if not tables and not faults:
        return None
    groups = [
        _group("All three tools", tables),
        _group("This project's loader under faults (no orchestrator involved)", faults),
    ]
    same = paragraph("The same loader runs under all three, so a retry by any of them cannot break a month.")
    notes = [same, paragraph(*WHY)] if faults else []
    parity = _parity(data.get("commands"))
    parts = [tag("div", *groups, class_="results"), *notes, parity, _origin(data)]
    return section("headline", "Results in short", *parts)


def _group(heading: str, tiles: list[Html]) -> Html | None:
    """Return tiles under a heading of their own, as many columns wide."""
    if not tiles:
        return None
    return tag("div", tag("h3", heading), tag("ul", *tiles, class_="tiles"), class_=f"group-{len(tiles)}")


def _tile(figures: Content, words: Content, details: Content = None, *, kind: str = "good") -> Html:
    return tag("li", tag("strong", figures), tag("span", words), tag("small", details), class_=kind)


def _tables(commands: Results | None) -> list[Html]:
    tables = commands.printed(IDENTICAL, r"identical: (\d+) tables") if commands else None
    schemas = commands.printed(IDENTICAL, r"tables in (\d+) schemas") if commands else None
    if not tables or not schemas:
        return []
    details = tag("span", "compared by a digest (a hash of all rows, whatever their order) in ", shown(schemas),
                  " schemas: one per orchestrator, and one of plain Python")  # fmt: skip
    return [_tile(tag("span", "All ", shown(tables)), "tables are identical", details)]


def _kills(soak: Results | None) -> list[Html]:
    if soak is None:
        return []
    lost, extra, kills = (soak.value(key, whole=True) for key in ("lost_rows", "extra_rows", "kills"))
    kind = "good" if lost.value == extra.value == 0 else "bad"
    words = tag("span", "rows lost in ", shown(kills), " random kills of the loader")
    details = tag("span", shown(extra), " loaded twice, ", shown(soak.value("partial_reads", whole=True)),
                  " partial months seen in ", shown(soak.value("polls", whole=True)), " reads")  # fmt: skip
    tiles = [_tile(shown(lost), words, details, kind=kind)]
    return [*tiles, _contrast(soak)] if soak.has("contrast") else tiles


def _contrast(soak: Results) -> Html:
    """Return what the usual pattern lost and doubled under kills of the same kind, and why."""
    lost, extra, kills = (soak.value("contrast", key, whole=True) for key in ("lost_rows", "extra_rows", "kills"))
    alone = soak.value("contrast", "without_kills", "lost_rows", whole=True)
    even = " rows lost even without a kill; " if alone.value == lost.value else " rows lost; "
    words = tag("span", "rows wrong with the usual pattern: ", shown(lost), even, shown(extra), " doubled by ",
                shown(kills), " kills")  # fmt: skip
    details = "delete the month by date, then append: the reason is below"
    return _tile(shown(lost + extra), words, details, kind="bad")


def _points(kill_points: Results | None) -> list[Html]:
    if kill_points is None:
        return []
    run, wrong = cases(kill_points), wrongs(kill_points)
    words = tag("span", "of ", shown(run), " injected faults left a difference")
    details = "kills, full disks, cut connections and stopped servers, at the statements and file operations of a load "
    kind = "bad" if wrong.value else "good"
    return [_tile(shown(wrong), words, f"{details}and of a dbt build", kind=kind)]


def cases(results: Results) -> Figure:
    """Return how many faults were injected."""
    found = sum(was_run(outcome) for *_, outcome in outcomes(results.rows))
    return Figure(found, f"cases({results.name})", whole=True)


def wrongs(results: Results) -> Figure:
    """Return how many of them did not end as an undisturbed run."""
    found = sum(is_wrong(outcome) for *_, outcome in outcomes(results.rows))
    return Figure(found, f"wrongs({results.name})", whole=True)


def _parity(commands: Results | None) -> Html | None:
    """Return the table that `triptych parity` printed: rows, and the digest in each schema."""
    row = next(_compared(commands), None) if commands else None
    lines = re.findall(r"^(\w+) +([\d,]+) +(\w{10}.*)$", row["output"], re.MULTILINE) if row else []
    head = re.search(r"^table +rows +(.+)$", row["output"], re.MULTILINE) if row else None
    if not commands or not head or not lines:
        return None
    cells = [
        [tag("code", name), _rows(commands, name), *(tag("code", digest) for digest in digests.split())]
        for name, _, digests in lines
    ]
    schemas = [title(name) for name in head[1].split()]
    what = "Rows of each table, and the digest of its content in each schema, as the comparison printed it"
    return tag("details", tag("summary", "Show the digests"), table(["table", "rows", *schemas], cells, what))


def _compared(commands: Results) -> Iterator[Row]:
    return (row for row in commands.rows if row["name"] == IDENTICAL)


def _command(row: Row) -> str:
    """Return the recorded command on one line."""
    return "; ".join(row["command"].splitlines())


def _rows(commands: Results, name: str) -> Html:
    return shown(commands.printed(IDENTICAL, rf"{name} +([\d,]+)"))


def _origin(data: Data) -> Html:
    lines = []
    if commands := data.get("commands"):
        lines += [Origin(_command(row), "a minute", [commands]).line() for row in _compared(commands)]
    if faults := [found for name in ("soak", "kill_points") if (found := data.get(name))]:
        lines.append(Origin("make soak", "over an hour", faults).line())
    return tag("div", *lines)
