"""Drills: a heat map for each orchestrator, of what became of a backfill whose components died or stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.harness.measure import Row
from benchmarks.summary.blocks import Origin, file, paragraph, section, shown, spread, table, terms, title, whole_table
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html, join, tag
from tests.faults.drills.plan import ABOVE, DATABASE, DEFAULTS, EXPERT, HOST, KILL, PHASES, STEP, USUAL

ALONE, AGAIN, HAND, WRONG = "alone", "again", "hand", "wrong"

OUTCOMES: Mapping[str, Content] = {
    ALONE: "A figure: seconds from the signal until the month that was under way had landed, with nobody's help. "
    "Before the first run it is the first month.",
    AGAIN: "The month landed when the same command ran again.",
    HAND: "A person had to interrupt the command, cancel a run that was stuck, or end a process.",
    WRONG: "Tables differed in the end, or a reader saw part of a month.",
}
"""What may become of a drill, the best first, and what that means."""

WORDS = {AGAIN: "run again", HAND: "by hand", WRONG: "wrong"}
"""What a cell says that has no figure."""

NAMES = {
    STEP: "the step's process",
    ABOVE: "the process above it",
    HOST: "the machine of the runs",
    DATABASE: "PostgreSQL",
}
"""The components that are no service of an orchestrator."""


def outcome(row: Row) -> str:
    """Return which of `OUTCOMES` a drill had."""
    if not row["tables_identical"] or row["partial_reads"]:
        return WRONG
    if row["needed_hand"] or row["stuck"]:
        return HAND
    return AGAIN if row["recovered_s"] is None else ALONE


def drills(data: Data) -> Html | None:
    """Return the section; None without a file of drills."""
    results = data.get("drills")
    if results is None or not results.rows:
        return None
    tools = results.names("tool", settings=EXPERT)
    return section(
        "drills",
        "What a death costs",
        paragraph("Each cell is a backfill of six months in which one process was killed, or stopped for longer than "
                  "every heartbeat, in a phase that locks held it in. Then the same command ran again, and all tables "
                  "were compared with the baseline's, while a reader looked for months that were there in part. A "
                  "service that dies is started again within seconds, as systemd or Kubernetes does it."),
        terms(_legend()),
        _sums(results, tools),
        *(_map(results, tool) for tool in tools),
        _contrast(results),
        paragraph("Each drill, what was done by hand, and the settings that decide it: ",
                  file("docs/benchmarks/drills.md"), "."),
        Origin("make drills", "up to 100 minutes", [results]).line(),
    )  # fmt: skip


def _legend() -> dict[str, Content]:
    marks = {ALONE: "seconds", **WORDS}
    return {marks[name]: meaning for name, meaning in OUTCOMES.items()}


def _sums(results: Results, tools: Sequence[str]) -> Html:
    """Return a line for each orchestrator: how many drills, and how long a loss and its repair take."""
    head = ["", "drills", "tables identical", "lost attempt wrote", "noticed, s", "recovered, s"]
    lines = []
    for tool in tools:
        found = results.of(tool=tool, settings=EXPERT)
        counts = [
            results.of(tool=tool, settings=EXPERT, **{key: True}).count()
            for key in ("tables_identical", "orphan_wrote")
        ]
        seconds = [
            spread(found.range(key)) if any(row[key] is not None for row in found.rows) else Html("-")
            for key in ("noticed_s", "recovered_s")
        ]
        lines.append([title(tool), shown(found.count()), *map(shown, counts), *seconds])
    return table(
        head, lines, "With the adapter's settings: counts, and median (smallest - largest) of those with a figure"
    )


def _map(results: Results, tool: str) -> Html:
    """Return the heat map of an orchestrator: components down, phases across."""
    numbers = {
        (_label(row), row["phase"]): number
        for number, row in enumerate(results.rows)
        if row["tool"] == tool and row["settings"] != USUAL
    }
    head = [title(tool), *PHASES.values()]
    lines = [
        tag("tr", tag("th", label, scope="row"), *_cells(results, [numbers.get((label, each)) for each in PHASES]))
        for label in dict.fromkeys(label for label, _ in numbers)
    ]
    caption = f"{title(tool)}: what became of the backfill, by what died and when"
    return tag("div", whole_table(head, lines, caption, words=True), class_="heat")


def _contrast(results: Results) -> Html | None:
    """Return what the same deaths cost the usual pattern; None before it was drilled."""
    numbers = [number for number, row in enumerate(results.rows) if row["settings"] == USUAL]
    if not numbers:
        return None
    keys = ("lost_rows", "extra_rows", "lost_rows_again", "extra_rows_again")
    lines = [
        [
            NAMES.get(results.rows[number]["killed"], results.rows[number]["killed"]),
            *(shown(results.value("rows", number, key, whole=True)) for key in keys),
        ]
        for number in numbers
    ]
    head = ["killed", "rows lost", "rows too many", "lost after a rerun", "too many after a rerun"]
    on = title(results.rows[numbers[0]]["tool"])
    caption = f"The usual pattern (delete the month by pickup, append the file) on {on}, against the published files"
    return table(head, lines, caption)


def _label(row: Row) -> str:
    """Return what got which signal, with which settings."""
    what = "killed" if row["signal"] == KILL else "stopped"
    shipped = ", as shipped" if row["settings"] == DEFAULTS else ""
    return f"{NAMES.get(row['killed'], row['killed'])}, {what}{shipped}"


def _cells(results: Results, numbers: Iterable[int | None]) -> Iterator[Html]:
    """Yield the cells of a row, by the places of the drills in the results: an empty one where there is no drill."""
    for number, phase in zip(numbers, PHASES.values(), strict=True):
        if number is None:
            yield tag("td")
        else:
            name, content = _cell(results, number)
            yield tag("td", content, class_=f"outcome-{name}", data_label=phase)


def _cell(results: Results, number: int) -> tuple[str, Html]:
    """Return the outcome of a drill, and what its cell says."""
    row = results.rows[number]
    name = outcome(row)
    first = [shown(results.value("rows", number, "recovered_s")), " s"] if name == ALONE else [WORDS[name]]
    notes: list[Content] = []
    if row["noticed_s"] is not None:
        notes.append(join(["noticed ", shown(results.value("rows", number, "noticed_s")), " s"]))
    if row["orphan_wrote"]:
        notes.append("the lost attempt wrote")
    return name, join([*first, tag("small", join(notes, ", ")) if notes else None])
