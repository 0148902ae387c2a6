"""The limits: which aims were missed, what was not measured, and what no figure here says."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness.markdown import number
from benchmarks.load.page import RATIOS, WHAT
from benchmarks.orchestrators.page import AIM_S, BASELINE, FLOOR
from benchmarks.summary.blocks import listed, paragraph, section, shown, table, title
from benchmarks.summary.data import FILES, Data
from benchmarks.summary.figures import Figure
from benchmarks.summary.markup import Content, Html, tag

Aim = tuple[str, float, Figure]
"""What was aimed at, at most how much, and what was measured."""

UNMEASURED = {
    "floor": "Not measured yet: empty steps, as shipped and as tuned, and what each setting alone changes.",
    "chains": "Not measured yet: chains of small tasks, split into assignment, execution and transition.",
    "drills": "Kills of the orchestrators' own services: tested for one kill on each orchestrator (see Capabilities); "
    "not yet measured at random moments.",
}
"""What to say while these results are missing."""

WRITTEN = (
    "The trips are generated in the form of the publisher's files, not the publisher's own.",
    "Not compared: managed services, Kubernetes, several machines, and paid support.",
    "The orchestrators ran with settings that were tuned for this pipeline, on one small machine. Another pipeline, "
    "or more cores, may change the order.",
    "A range over a few rounds shows how much the rounds differed. It is not a confidence interval.",
)


HOW = (
    "Extra time of a load is its median less that of plain Python; the work of one month overlaps with the start of "
    "the next one, so it can be less than a no-op backfill takes. Time / that of the limit is the median of the "
    "rounds' ratios, each to the limit of the same round, and so not the ratio of the medians."
)
"""How results are formed that are not a measured value."""


def limits(data: Data) -> Html | None:
    """Return the section; None without any results."""
    if not any(data.get(name) for name in FILES):
        return None
    aims = list(_aims(data))
    missing = [tag("li", words) for name, words in UNMEASURED.items() if not data.get(name)]
    written = [tag("li", words) for words in WRITTEN]
    return section(
        "limits",
        "Limits",
        tag("ul", *_machines(data), *missing, *written),
        _table(aims) if aims else None,
    )


def _machines(data: Data) -> Iterator[Html]:
    """Warn of comparing sections with one another when they were measured on different processors."""
    found = [results.content for name in FILES if (results := data.get(name)) and results.has("machine")]
    names = sorted({content["machine"]["cpu"] for content in found})
    if len(names) > 1:
        yield tag("li", f"Figures come from different machines ({listed(names)}): compare them within a section only.")


def _aims(data: Data) -> Iterator[Aim]:
    """Yield every aim that the results can be held against."""
    if backfill := data.get("backfill"):
        plain = backfill.of(orchestrator=BASELINE, turn="load")
        for name in backfill.names("orchestrator"):
            load, unchanged = (backfill.of(orchestrator=name, turn=turn) for turn in ("load", "unchanged"))
            if name in AIM_S and unchanged and backfill.rows[0]["months"] == 12:
                yield f"{title(name)}: 12 unchanged months, s", AIM_S[name], unchanged.median("wall_s")
            if name != BASELINE and load and unchanged and plain:
                beyond = (load.median("wall_s") - plain.median("wall_s")) / unchanged.median("wall_s")
                yield f"{title(name)}: extra time of a load / time of a no-op backfill", FLOOR, beyond
    if load_race := data.get("load"):
        for method, size, bound in RATIOS:
            if rows := load_race.of(method=method, rows=size):
                yield f"{WHAT[method]}, {size:,} rows: time / that of the limit", bound, rows.median("ratio_to_limit")


def _table(aims: list[Aim]) -> Html:
    lines: list[list[Content]] = [
        [words, f"at most {number(bound)}", shown(found, precise=True), _verdict(found, bound)]
        for words, bound, found in aims
    ]
    missed = sum(found.value > bound for _, bound, found in aims)
    caption = f"This project's own aims: {missed} of {len(aims)} missed"
    content = table(["aim", "bound", "result", "verdict"], lines, caption, words=True)
    return tag("div", tag("h3", "The aims, met and missed"), content, paragraph(HOW))


def _verdict(found: Figure, bound: float) -> Html:
    if found.value <= bound:
        return tag("span", "met", class_="yes")
    if found.value > 2 * bound:
        return tag("span", "missed: ", shown(Figure(found.value / bound, f"{found.source} / {bound}")), " x the aim",
                   class_="no")  # fmt: skip
    by = Figure(100 * (found.value / bound - 1), f"100 * ({found.source} / {bound} - 1)")
    return tag("span", "missed by ", shown(by), "%", class_="no")
