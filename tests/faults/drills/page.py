"""The page on the drills, from the results of `tests.faults.drills`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from benchmarks.harness.markdown import AIMS, header, number, table
from benchmarks.harness.measure import Row
from core.run import counted
from tests.faults.drills import pair_page
from tests.faults.drills.plan import ABOVE, DEFAULTS, EXPERT, HOST, KILL, PHASES, SERVICES, STEP, USUAL, every
from tests.faults.drills.row import name_of

LEAST = 30
"""How many drills each orchestrator is to have."""

INTRODUCTION = (
    "Each line is a backfill of {months} months, two at a time, in which a process got a signal in a phase that locks "
    "held it in. Then the same command ran once more, and all tables were compared with the baseline's. All the while "
    "a reader asked whether any month was there in part.\n\n"
    "A service that dies is started again within seconds by the lab's supervisor, as systemd or Kubernetes does it for "
    "whoever runs these orchestrators in earnest. That is part of the setup: such a drill asks what becomes of the "
    "runs. What follows the death of a step's process, or of the one above it, is the orchestrator's own affair. With "
    "the *host*, all processes of runs and of the services that start them die at once, and only the API lives on. "
    "`SIGSTOP` is followed by `SIGCONT` after a time that is longer than the heartbeat by which a loss is noticed.\n"
)

WORDS = (
    "- *noticed*: seconds until the orchestrator's own record shows that the attempt is lost, to half a second; of a "
    "service that died, until the supervisor says so. `-`: nothing said so, because nothing was lost, or because it "
    "was not seen.\n"
    "- *recovered*: seconds until the month that was under way had landed (before the first run: the first month). "
    "`-`: only when the same command ran again.\n"
    "- *attempts*: of the month's step that has most of them. A killed build that another month's build has covered by "
    "then is skipped, and has none.\n"
    "- *orphan*: the lost attempt's process went on, and committed something after its loss was noticed. The loads are "
    "fenced, so that changed no table.\n"
    "- *stuck*: runs that were still queued or running when the command had long ended.\n"
    "- *by hand*: what a person had to do. A command that had not ended {deadline:.0f} s after the signal, or half as "
    "long after the heartbeat by which the loss is noticed, was interrupted.\n"
)


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = [row for row in result["rows"] if row["settings"] != USUAL]
    usual: list[Row] = [row for row in result["rows"] if row["settings"] == USUAL]
    names = list(dict.fromkeys(row["tool"] for row in rows))
    months = {row["months"] for row in rows}
    return "\n".join(
        [
            header("Drills: components that die or stop in the middle of a backfill", _file(), result),
            f"{_when(result['rows'])}\n",
            INTRODUCTION.format(months=" or ".join(map(str, sorted(months)))),
            "## Against the aims\n",
            table(AIMS, list(_aims(rows, list(dict.fromkeys([*SERVICES, *names]))))),
            "## By component\n",
            WORDS.format(deadline=result["deadline_s"]),
            *_summaries(rows, names),
            *_findings(rows),
            *pair_page.section(result.get("pairs", {}).get("rows", [])),
            *_contrast(result, usual),
            *_settings(result),
            "## Each drill\n",
            *_each(rows, names),
        ]
    )


def _file() -> str:
    return "benchmarks/results/drills.json"


def _when(rows: Sequence[Row]) -> str:
    """Return when the drills ran, how long they took, and which are still to be run."""
    times = sorted(row["measured_at"] for row in rows)
    minutes = sum(row["seconds"] for row in rows) / 60
    missing = {drill.name for drill in every([*SERVICES])} - {name_of(row) for row in rows}
    first, last = _day(times[0]), _day(times[-1])
    said = f"{len(rows)} drills, which took {minutes:.0f} minutes. The first of them ran {first}, the last {last}."
    left = f" **{counted(len(missing), 'drill')} have not been run.**" if missing else ""
    return f"{said} {_loads(rows)}{left}"


def _loads(rows: Sequence[Row]) -> str:
    """Return how busy the machine was when the drills began."""
    loads = [row["load_average"] for row in rows if "load_average" in row]
    known = f"The load average when they began was {min(loads):.1f} to {max(loads):.1f}. " if loads else ""
    unknown = len(rows) - len(loads)
    return known + (f"Of {unknown} it was not recorded: what ran beside them is not known." if unknown else "")


def _day(time: str) -> str:
    return f"{time[:16].replace('T', ' ')} UTC"


def _aims(rows: Sequence[Row], names: Sequence[str]) -> Iterator[list[str]]:
    different = sum(not row["tables_identical"] for row in rows)
    partial = sum(row["partial_reads"] for row in rows)
    looks = sum(row["looks"] for row in rows)
    yield ["drills whose tables differ in the end", "none", f"{different} of {len(rows)}", _met(different == 0)]
    yield ["looks that saw part of a month", "none", f"{partial} of {looks:,}", _met(partial == 0)]
    for orchestrator in names:
        count = sum(row["tool"] == orchestrator for row in rows)
        yield [f"drills of {orchestrator}", f"at least {LEAST}", str(count), _met(count >= LEAST)]


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _summaries(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    """Yield a table for each orchestrator: a line for each component, signal and kind of settings."""
    head = ["", "drills", "noticed, s", "recovered, s", "attempts", "orphan", "stuck", "by hand", "identical"]
    for orchestrator in names:
        lines = [
            _summary(label, list(group))
            for label, group in groupby((row for row in rows if row["tool"] == orchestrator), key=_label)
        ]
        yield f"### {orchestrator}\n"
        yield table(head, lines)


def _label(row: Row) -> str:
    shipped = ", as shipped" if row["settings"] == DEFAULTS else ""
    return f"{row['killed']}, {row['signal']}{shipped}"


def _summary(label: str, rows: Sequence[Row]) -> list[str]:
    counts = [sum(bool(row[key]) for row in rows) for key in ("orphan_wrote", "stuck", "needed_hand")]
    identical = sum(row["tables_identical"] for row in rows)
    return [
        label, str(len(rows)), _range(rows, "noticed_s"), _range(rows, "recovered_s"), _range(rows, "attempts"),
        *(str(count) if count else "" for count in counts), f"{identical} of {len(rows)}",
    ]  # fmt: skip


def _range(rows: Sequence[Row], key: str) -> str:
    """Return the smallest and the largest value, and in how many of the drills there was none."""
    values = sorted(row[key] for row in rows if row[key] is not None)
    if not values:
        return "-"
    none = len(rows) - len(values)
    found = _shown(values[0]) if values[0] == values[-1] else f"{_shown(values[0])} - {_shown(values[-1])}"
    return found + (f" ({none} never)" if none and key == "recovered_s" else f" ({none} not)" if none else "")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else number(value)


def _findings(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what a person who runs the orchestrator should know: a line for each drill with such a thing."""
    found = [(row, list(_finding(row))) for row in rows]
    yield "## Findings\n"
    lines = [f"- {_title(row)}: {'; '.join(said)}." for row, said in found if said]
    yield (
        "\n".join(lines) + "\n"
        if lines
        else "In no drill did a run get stuck, an orphan write, or a person have to help.\n"
    )


def _finding(row: Row) -> Iterator[str]:
    if row["orphan_wrote"]:
        yield "the process of the lost attempt went on and committed"
    if row["stuck"]:
        yield f"{counted(row['stuck'], 'run')} stayed queued or running"
    if row["needed_hand"]:
        yield str(row["needed_hand"])
    if row["recovered_s"] is None:
        yield "the month landed only when the same command ran again"
    if row["signal"] == KILL and row["killed"] in (STEP, ABOVE, HOST) and row["noticed_s"] is None:
        yield "the loss was not noticed"
    if not row["tables_identical"]:
        yield "**the tables differ**"
    yield from (f"**a reader saw {said}**" for said in row["saw"])


def _title(row: Row) -> str:
    return f"{row['tool']}, {_label(row)}, {PHASES[row['phase']]}"


def _contrast(result: dict[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the same deaths cost the usual pattern; nothing before it was drilled."""
    if not rows:
        return
    yield "## The contrast: the usual pattern\n"
    before = result["undisturbed"]
    yield (
        f"The same deaths on {rows[0]['tool']}, with the load that guides show: one task deletes what was picked up in "
        "the month, the next one appends the file. A file holds pickups of other months too, so the pattern loses rows "
        f"without any death: {before['lost']:,} lost and {before['extra']:,} too many after one undisturbed backfill. "
        "All figures are against the union of the published files, as multisets of rows; the core's load has 0 in "
        "each.\n"
    )
    head = ["killed", "rows lost", "rows too many", "lost after a rerun", "too many after a rerun", "orphan wrote"]
    keys = ("lost_rows", "extra_rows", "lost_rows_again", "extra_rows_again")
    lines = [[row["killed"], *(f"{row[key]:,}" for key in keys), "yes" if row["orphan_wrote"] else ""] for row in rows]
    yield table(head, lines)


def _settings(result: dict[str, Any]) -> Iterator[str]:
    """Yield the settings that differ between the two kinds."""
    yield "## The settings that decide it\n"
    yield (
        f"`{EXPERT}` is what the adapters set; as shipped (`{DEFAULTS}`) leaves these alone, and nothing else. "
        "`TRIPTYCH_AS_SHIPPED=guards` does the same to any command.\n"
    )
    lines = [[f"`{each['name']}`", each["value"], each["shipped"]] for each in result["settings"]]
    yield table(["setting", EXPERT, "as shipped"], lines, align="---")


def _each(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    head = ["", "phase", "noticed, s", "recovered, s", "attempts", "orphan wrote", "stuck", "by hand", "identical"]
    for orchestrator in names:
        yield f"### {orchestrator}, each\n"
        yield table(head, [_line(row) for row in rows if row["tool"] == orchestrator])


def _line(row: Row) -> list[str]:
    return [
        _label(row), PHASES[row["phase"]], *(_shown(row[key]) for key in ("noticed_s", "recovered_s", "attempts")),
        "yes" if row["orphan_wrote"] else "", str(row["stuck"] or ""), row["needed_hand"] or "",
        "yes" if row["tables_identical"] else "**no**",
    ]  # fmt: skip


def by_component(rows: Sequence[Row]) -> str:
    """Return the table of the guide: what becomes of a backfill, by what dies, on each orchestrator."""
    ours = [row for row in rows if row["settings"] != USUAL]
    names = list(dict.fromkeys(row["tool"] for row in ours))
    found = {
        (label, name): [row for row in ours if _label(row) == label and row["tool"] == name]
        for label in dict.fromkeys(map(_label, ours))
        for name in names
    }
    labels = dict.fromkeys(label for label, _ in found)
    lines = [[label, *(_fate(found[label, name]) for name in names)] for label in labels]
    identical = sum(row["tables_identical"] for row in ours)
    partial, looks = (sum(row[key] for row in ours) for key in ("partial_reads", "looks"))
    said = (
        f"The tables were identical to the baseline's in {identical} of {len(ours)} drills. Of {looks:,} looks of a "
        f"reader, {partial} saw part of a month. That is the core's doing, and not an orchestrator's: a load is one "
        "transaction, fenced against the attempt that was given up.\n"
    )
    return "\n".join([table(["what dies, or stands still", *names], lines, align="---"), said])


def _fate(rows: Sequence[Row]) -> str:
    """Return in a few words what became of some drills; a dash where the orchestrator has no such component."""
    if not rows:
        return "-"
    alone = [row for row in rows if row["recovered_s"] is not None and not row["needed_hand"] and not row["stuck"]]
    words = []
    if alone:
        everyone = "" if len(alone) == len(rows) else f" ({len(alone)} of {len(rows)})"
        words.append(f"recovers by itself in {_range(alone, 'recovered_s')} s{everyone}")
    if noticed := [row for row in rows if row["noticed_s"] is not None]:
        words.append(f"noticed after {_range(noticed, 'noticed_s')} s")
    else:
        words.append("not noticed")
    counts = {
        "landed only when the command ran again": sum(row["recovered_s"] is None for row in rows),
        "the lost attempt wrote": sum(row["orphan_wrote"] for row in rows),
        "runs stayed stuck": sum(bool(row["stuck"]) for row in rows),
        "a person had to help": sum(bool(row["needed_hand"]) for row in rows),
    }
    words += [f"{what} ({count} of {len(rows)})" for what, count in counts.items() if count]
    return "; ".join(words)
