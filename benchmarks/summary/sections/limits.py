"""The limits, in the open: which aims were missed, what was not measured, and what no figure here says."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.load.page import RATIOS, WHAT
from benchmarks.orchestrators.page import AIM_S, BASELINE, FLOOR
from benchmarks.summary.blocks import listed, section, shown, table, title
from benchmarks.summary.data import FILES, Data
from benchmarks.summary.figures import Figure
from benchmarks.summary.markup import Content, Html, tag

Aim = tuple[str, float, Figure]
"""What was aimed at, at most how much, and what was measured."""

UNMEASURED = {
    "floor": "the floor: empty steps, as shipped and as tuned, and what each setting alone changes",
    "chains": "chains of small tasks, split into assignment, execution and transition",
    "drills": "what the orchestrators survive when their own components are killed",
}
"""What is missing while these results are."""

WRITTEN = (
    "The trips are generated in the form of the publisher's files, not the publisher's own.",
    "Not compared: managed services, Kubernetes, several machines, and what people pay for support.",
    "The orchestrators ran with settings that were tuned for this pipeline, on one small machine. Another pipeline, "
    "or more cores, may change the order.",
    "A range over a few rounds shows how much the rounds differed. It is no confidence interval.",
)


def limits(data: Data) -> Html | None:
    """Return the section; None without any results."""
    if not any(data.get(name) for name in FILES):
        return None
    aims = list(_aims(data))
    missing = [tag("li", "Not measured yet: ", words, ".") for name, words in UNMEASURED.items() if not data.get(name)]
    written = [tag("li", words) for words in WRITTEN]
    return section(
        "limits",
        "Limits, in the open",
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
                yield f"{title(name)}: a load beyond plain Python, per unchanged backfill", FLOOR, beyond
    if load_race := data.get("load"):
        for method, size, bound in RATIOS:
            if rows := load_race.of(method=method, rows=size):
                yield f"{WHAT[method]}, {size:,} rows, times the limit", bound, rows.median("ratio_to_limit")


def _table(aims: list[Aim]) -> Html:
    lines: list[list[Content]] = [
        [words, f"at most {bound:g}", shown(found), _verdict(found, bound)] for words, bound, found in aims
    ]
    missed = sum(found.value > bound for _, bound, found in aims)
    caption = f"Aims and results: {missed} of {len(aims)} missed"
    content = table(["aim", "bound", "result", "verdict"], lines, caption, words=True)
    return tag("div", tag("h3", "The aims, met and missed"), content)


def _verdict(found: Figure, bound: float) -> Html:
    if found.value <= bound:
        return tag("span", "met", class_="yes")
    by = Figure(100 * (found.value / bound - 1), f"100 * ({found.source} / {bound} - 1)")
    return tag("span", "missed by ", shown(by), "%", class_="no")
