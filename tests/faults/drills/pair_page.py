"""What the page on the drills, and the guide, say of two of everything."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness.markdown import number, table
from benchmarks.harness.measure import Row
from core.run import counted
from tests.faults.drills.pair_plan import BACKFILL, EVENTS, NOTHING

INTRODUCTION = (
    "Each orchestrator with two of each service in the column *services* "
    "(`triptych up --scale`, [decision 24](../decisions/0024-two-of-everything.md)). One process dies by `SIGKILL`, "
    "and, unlike above, nothing starts it again until the command has ended: what goes on is the work of the other "
    "one. The process that dies is the one that has the step under way below it, or else more processes than the "
    "other one. With *nothing*, both live on.\n"
)

OF_BACKFILLS = (
    "A backfill of six months, two at a time; one dies while the load of the first two months is held by locks. *Loads "
    "begun* are counted by the server, which logs the session of each attempt: {months} are right. *Doubled* are "
    "months whose load was begun more than once.\n"
)

OF_EVENTS = (
    "An ingest of each of {events} months, started one right after the other. Each one's event is to start one refresh "
    "([the question](../guide/events.md)). One dies when half of the ingests have been started. *Doubled* are events "
    "that started more than one refresh, *lost* are those that started none.\n"
)


def section(rows: Sequence[Row]) -> list[str]:
    """Return the section of the page; nothing before there is a result."""
    if not rows:
        return []
    said = ["## Two of everything\n", INTRODUCTION]
    if backfills := [row for row in rows if row["phase"] == BACKFILL]:
        head = ["", "services", "killed", "noticed, s", "recovered, s", "attempts", "loads begun", "doubled",
                "orphan wrote", "stuck", "by hand", "identical", "load average"]  # fmt: skip
        said += [OF_BACKFILLS.format(months=backfills[0]["months"]), table(head, [_backfill(row) for row in backfills])]
    if events := [row for row in rows if row["phase"] == EVENTS]:
        head = ["", "services", "killed", "loads begun", "refreshes", "doubled", "lost", "failed", "stuck",
                "all months built", "load average"]  # fmt: skip
        said += [OF_EVENTS.format(events=events[0]["events"]), table(head, [_events(row) for row in events])]
    return said


def summary(rows: Sequence[Row]) -> str:
    """Return the table of the guide: what two of everything did, by what died."""
    lines = [[row["tool"], row["settings"], f"{row['killed']}, {row['phase']}", _fate(row)] for row in rows]
    return table(["", "there were", "what dies, in which work", "what was observed"], lines, align="----")


def _backfill(row: Row) -> list[str]:
    alive = row["killed"] == NOTHING
    return [
        row["tool"], row["settings"], row["killed"], "" if alive else _shown(row["noticed_s"]),
        "" if alive else _shown(row["recovered_s"]), _shown(row["attempts"]), str(row["loads"]),
        str(row["runs_doubled"]), "yes" if row["orphan_wrote"] else "", str(row["stuck"] or ""),
        row["needed_hand"] or "", "yes" if row["tables_identical"] else "**no**", number(row["load_average"]),
    ]  # fmt: skip


def _events(row: Row) -> list[str]:
    keys = ("loads", "refreshes", "events_doubled", "events_lost", "refreshes_failed")
    return [
        row["tool"], row["settings"], row["killed"], *(str(row[key]) for key in keys), str(row["stuck"] or ""),
        "yes" if row["tables_identical"] else "**no**", number(row["load_average"]),
    ]  # fmt: skip


def _fate(row: Row) -> str:
    """Return in a few words what became of a drill."""
    words = [_of_backfill(row)] if row["phase"] == BACKFILL else [_of_events(row)]
    if row["stuck"]:
        words.append(f"{counted(row['stuck'], 'run')} stayed stuck")
    if row.get("needed_hand"):
        words.append(row["needed_hand"])
    if row.get("orphan_wrote"):
        words.append("an attempt that was given up wrote")
    words.append("tables identical" if row["tables_identical"] else "**tables differ**")
    return "; ".join(words)


def _of_backfill(row: Row) -> str:
    doubled = f"the loads of {row['runs_doubled']} of {row['months']} months were begun twice"
    if row["killed"] == NOTHING:
        return doubled
    if row["recovered_s"] is None:
        return f"{doubled}; the month under way landed only when the command ran again"
    return f"{doubled}; the month under way landed {number(row['recovered_s'])} s after the death"


def _of_events(row: Row) -> str:
    return f"of {row['events']} events, {row['events_doubled']} started two refreshes, {row['events_lost']} none"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else number(value)
