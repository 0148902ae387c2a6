"""The page on troubles of the database, from the results of `tests.faults.database`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness.markdown import AIMS, header, number, table
from benchmarks.harness.measure import Row
from core.run import counted
from tests.faults.database.plan import (
    CONNECTIONS,
    FAILOVER,
    FULL,
    MIDWAY,
    RESTORED,
    STATEMENT_TIMEOUT_MS,
    TIMEOUT,
    TROUBLES,
)
from tests.faults.drills.plan import SERVICES

FILE = "benchmarks/results/database.json"

INTRODUCTION = (
    "One PostgreSQL holds the warehouse and the orchestrator's own records, as it often is. Each line is a backfill of "
    "{months} months, two at a time, with the adapter's settings. When two loads are under way, held by a lock, the "
    "trouble begins; after a fixed time it is over. Then the same command runs once more, and all tables are compared "
    "with the baseline's. All the while a reader asks whether any month is there in part. All that uses the server "
    "knows one address of it, a proxy of the test. A step that fails of PostgreSQL is tried again twice, 2 s apart, on "
    "all three alike: a trouble that lasts longer may cost the months that meet it.\n"
)

WORDS = (
    "- *noticed*: seconds until the orchestrator's own record shows that an attempt is lost, to half a second.\n"
    "- *recovered*: seconds until the month that was under way had landed; `-`: only when the same command ran again.\n"
    "- *failed*: months that the first command reported as failed.\n"
    "- *again*: the result of the same command, run again.\n"
    "- *stuck*: runs that were still queued or running when the first command had long ended.\n"
    "- *by hand*: what a person had to do. A command that had not ended {deadline:.0f} s later was interrupted.\n"
)

ABOUT = {
    CONNECTIONS: "A client takes every connection that is free, and each that becomes free: `sorry, too many clients "
    "already`. It takes those that are reserved for superusers as well, because the pipeline's role is one here. What "
    "the orchestrator's pools hold, they keep. The loads that were held go on at once: they have their connections.",
    FAILOVER: "The address cuts every connection and refuses new ones; then it leads to the same server at another "
    "place, a Unix socket. The server ends all its sessions when they are cut, and so rolls back what was under way. "
    "What differs from a real failover: no standby is promoted, so no commit can be lost, as one can on an "
    "asynchronous standby; the connections are closed, where a machine that vanishes leaves them open until a time-out "
    "(the drill that stops the server comes near that); and the address is a virtual IP or a pooler, where a DNS name "
    "may be cached.",
    FULL: "Each write to each table of the orchestrator's own database fails with SQLSTATE 53100, `could not extend "
    "file`: triggers raise it, which are put there before the backfill. On a disk that is really full, updates that "
    "fit into a page still succeed, and a server that can't write its log stops: that is the drill that kills it. The "
    "warehouse has room. The loads that were held go on at once.",
    TIMEOUT: f"`ALTER DATABASE ... SET statement_timeout = {STATEMENT_TIMEOUT_MS}` on the warehouse, and another "
    "session holds a lock that the loads need. It is set just before the backfill, because it is of sessions that "
    "begin from then on. The time begins with the first load that waits; then the limit is taken away, and the lock.",
}
"""What was done, by trouble."""

ON_RESTORED = (
    "The orchestrator's own database is copied before the backfill, or while two loads are held (for that second, its "
    "sessions are ended and nobody may connect). The backfill ends well. Then the services are ended, the copy is put "
    "in the place of the database, and the services start. What they then run by themselves is watched until no run is "
    "under way any more, for 20 s at least; then the same command runs again. The warehouse is not restored: it knows "
    "what is loaded, and a load of the same bytes changes nothing.\n\n"
    "- *forgot*: runs that the orchestrator had recorded, and knows no more.\n"
    "- *restored*: the state of the runs that it knows, as the services start.\n"
    "- *by itself*: for how many months an attempt came before any command.\n"
    "- *then*: the state of the runs after that.\n"
    "- *at the command*: for how many months an attempt came when the same command ran again.\n"
)


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    months = " or ".join(map(str, sorted({row["months"] for row in rows})))
    return "\n".join(
        [
            header("Troubles of the database in the middle of a backfill", FILE, result),
            f"{_when(rows)}\n",
            INTRODUCTION.format(months=months),
            "## Against the aims\n",
            table(AIMS, list(_aims(rows))),
            "## Troubles that end by themselves\n",
            WORDS.format(deadline=result["deadline_s"]),
            *(part for trouble in ABOUT for part in _trouble(trouble, [r for r in rows if r["trouble"] == trouble])),
            *_restored([row for row in rows if row["trouble"] in (RESTORED, MIDWAY)]),
        ]
    )


def _when(rows: Sequence[Row]) -> str:
    times = sorted(row["measured_at"] for row in rows)
    loads = [row["load_average"] for row in rows]
    minutes = round(sum(row["seconds"] for row in rows) / 60)
    first, last = (f"{time[:16].replace('T', ' ')} UTC" for time in (times[0], times[-1]))
    missing = len(SERVICES) * len(TROUBLES) - len({(row["tool"], row["trouble"]) for row in rows})
    left = f" **{counted(missing, 'drill')} have not been run.**" if missing > 0 else ""
    return (
        f"{counted(len(rows), 'drill')}, which took {counted(minutes, 'minute')}. The first of them ran {first}, the "
        f"last {last}. The load average when they began was {min(loads):.1f} to {max(loads):.1f}.{left}"
    )


def _aims(rows: Sequence[Row]) -> Iterator[list[str]]:
    different = sum(not row["tables_identical"] for row in rows)
    partial, looks = (sum(row[key] for row in rows) for key in ("partial_reads", "looks"))
    failed = sum(row["again"] != "success" for row in rows)
    yield ["drills whose tables differ in the end", "none", f"{different} of {len(rows)}", _met(not different)]
    yield ["looks that saw part of a month", "none", f"{partial} of {looks:,}", _met(not partial)]
    yield ["drills after which the same command fails", "none", f"{failed} of {len(rows)}", _met(not failed)]


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _trouble(trouble: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the section of a trouble, with a line for each orchestrator, and what their records say; none undrilled."""
    if not rows:
        return
    yield f"### {title(trouble, rows)}\n"
    yield f"{ABOUT[trouble]}\n"
    head = ["", "noticed, s", "recovered, s", "attempts", "failed", "again", "stuck", "by hand", "identical"]
    yield table(head, [_line(row) for row in rows])
    if said := [f"- {row['tool']}: {_plain(row['error'])}" for row in rows if row["error"]]:
        yield "What the first failed month says:\n"
        yield "\n".join(said) + "\n"
    yield from _seen(rows)


def title(trouble: str, rows: Sequence[Row]) -> str:
    """Return what a trouble is called, and how long it lasted."""
    lasted = " or ".join(f"{seconds:.0f} s" for seconds in sorted({row["lasts_s"] for row in rows}) if seconds)
    return ", ".join(filter(None, [TROUBLES[trouble], lasted]))


def _line(row: Row) -> list[str]:
    return [
        row["tool"], *(_shown(row[key]) for key in ("noticed_s", "recovered_s", "attempts")),
        f"{row['failed']} of {row['months']}", row["again"] or "interrupted", *_left(row),
    ]  # fmt: skip


def _left(row: Row) -> list[str]:
    identical = "yes" if row["tables_identical"] else "**no**"
    return [str(row["stuck"] or ""), _plain(row["needed_hand"] or ""), identical]


def _restored(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the section on records that were put back."""
    if not rows:
        return
    yield "## Records that are restored from a copy\n"
    yield ON_RESTORED
    head = ["", "forgot", "restored", "by itself", "then", "at the command", "stuck", "by hand", "identical"]
    for trouble in (RESTORED, MIDWAY):
        lines = [_put_back(row) for row in rows if row["trouble"] == trouble]
        if lines:
            yield f"### {TROUBLES[trouble]}\n"
            yield table(head, lines)
    yield from _seen(rows)


def _put_back(row: Row) -> list[str]:
    records, months = row["records"], row["months"]
    return [
        row["tool"], str(row["forgot"]), records["restored"] or "none", f"{row['ran_again']} of {months}",
        records["by itself"] or "none", f"{row['ran_again_at_command']} of {months}", *_left(row),
    ]  # fmt: skip


def _seen(rows: Sequence[Row]) -> Iterator[str]:
    if said := [f"- {row['tool']}: **a reader saw {each}**" for row in rows for each in row["saw"]]:
        yield "\n".join(said) + "\n"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else number(value)


def _plain(text: str) -> str:
    """Return what somebody else wrote as a cell or a line may hold it."""
    return text.replace("|", "\\|")


def by_trouble(rows: Sequence[Row]) -> str:
    """Return the table of the guide: what becomes of a backfill in each trouble, on each orchestrator."""
    names = list(dict.fromkeys(row["tool"] for row in rows))
    lines = []
    for trouble in TROUBLES:
        of_it = {row["tool"]: row for row in rows if row["trouble"] == trouble}
        if of_it:
            cells = [_fate(of_it[name]) if name in of_it else "-" for name in names]
            lines.append([title(trouble, list(of_it.values())), *cells])
    identical = sum(row["tables_identical"] for row in rows)
    partial, looks = (sum(row[key] for row in rows) for key in ("partial_reads", "looks"))
    said = (
        f"The tables were identical to the baseline's in {identical} of {len(rows)} drills. Of {looks:,} looks of a "
        f"reader, {partial} saw part of a month.\n"
    )
    return "\n".join([table(["trouble", *names], lines, align="---"), said])


def _fate(row: Row) -> str:
    """Return in a few words what became of a backfill."""
    words = []
    if row["trouble"] in (RESTORED, MIDWAY):
        months = f"{row['ran_again']} of {row['months']} months" if row["ran_again"] else "nothing"
        words.append(f"ran {months} again by itself")
    elif row["failed"]:
        words.append(f"{row['failed']} of {row['months']} months failed, and landed when the command ran again")
    elif row["recovered_s"] is not None:
        words.append(f"no month failed; the month under way landed after {number(row['recovered_s'])} s")
    else:
        words.append("the month under way landed when the command ran again")
    if row["stuck"]:
        words.append(f"{counted(row['stuck'], 'run')} stayed stuck")
    if row["needed_hand"]:
        words.append(f"by hand: {_plain(row['needed_hand'])}")
    if row["again"] != "success":
        words.append(f"**the same command: {row['again'] or 'interrupted'}**")
    if not row["tables_identical"]:
        words.append("**the tables differ**")
    return "; ".join(words)
