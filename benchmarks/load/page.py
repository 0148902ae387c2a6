"""The page of the load race."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.harness.markdown import AIMS, header, number, table, verdict
from benchmarks.harness.measure import Row, Spread, spread
from benchmarks.load import methods as load_methods
from benchmarks.load.race import FLAT_ROWS, PART_ROWS, SIZES, TOGETHER

Result = dict[str, Any]


def page(result: Result) -> str:
    """Return the page, from the results of `benchmarks.load.race`."""
    rows: list[Row] = result["rows"]
    sizes = sorted({row["rows"] for row in rows if row["method"] == "limit"})
    parts = [
        header("Loading a month", "benchmarks/results/load.json", result),
        _INTRODUCTION,
        *(_size(rows, size) for size in sizes),
        "## The methods\n\n" + _methods(rows),
        "## The aims\n\n" + table(AIMS, _aims(rows)) + _why(rows, result["machine"]["cores"]),
    ]
    return "\n".join(parts)


_INTRODUCTION = """\
One file of green-taxi trips as the publisher writes them, generated, into a table of 23 columns without an index.
Every run has a process of its own. Imports and (except for `triptych-step` and `dlt`) connections are made before the
clock starts; rounds are interleaved, and after each the table's content is compared by digest. Wall time is the median
of the rounds, followed by the fastest and the slowest; x limit is the median of the ratios to the limit of the same
round. The limit is a COPY of bytes that were encoded in advance: the time that this server needs to take the rows.
"""


def _of(rows: Iterable[Row], method: str, size: int) -> list[Row]:
    return [row for row in rows if (row["method"], row["rows"]) == (method, size)]


def _spread(rows: Iterable[Row], key: str) -> Spread | None:
    values = [row[key] for row in rows if row[key] is not None]
    return spread(values) if values else None


def _size(rows: list[Row], size: int) -> str:
    methods = {row["method"]: _of(rows, row["method"], size) for row in rows if row["rows"] == size}
    methods = {name: found for name, found in methods.items() if name not in TOGETHER}
    head = ("method", "wall s", "from - to", "x limit", "client CPU s", "server CPU s", "peak MB", "rounds")
    ordered = sorted(methods.items(), key=lambda item: _median(item[1], "wall_s"))
    lines = [_line(name, found) for name, found in ordered]
    everywhere = dict.fromkeys(row["method"] for row in rows if row["method"] not in TOGETHER)
    absent = "".join(_absent(rows, name, size) for name in everywhere if name not in methods)
    return f"## {size:,} rows\n\n{table(head, lines)}{_contents(methods)}{absent}"


def _absent(rows: list[Row], name: str, size: int) -> str:
    """Say what a round that was not run would take, in proportion to the largest size that was."""
    measured = max((row["rows"] for row in rows if row["method"] == name and row["rows"] < size), default=None)
    if measured is None:
        return f"\n`{name}` was not run at this size.\n"
    wall_s = _median(_of(rows, name, measured), "wall_s")
    return (
        f"\n`{name}` was not run at this size: a round took {_minutes(wall_s)} at {measured:,} rows, and in proportion "
        f"it would take {_minutes(wall_s * size / measured)} here.\n"
    )


def _minutes(seconds: float) -> str:
    return f"{number(seconds / 60)} minutes" if seconds >= 60 else f"{number(seconds)} s"


def _median(rows: Iterable[Row], key: str) -> float:
    found = _spread(rows, key)
    return found.median if found else float("nan")


def _line(name: str, rows: list[Row]) -> list[str]:
    wall, ratio = _spread(rows, "wall_s"), _spread(rows, "ratio_to_limit")
    assert wall is not None
    return [
        f"`{name}`",
        number(wall.median),
        f"{number(wall.low)} - {number(wall.high)}",
        number(ratio.median) if ratio else "",
        number(_median(rows, "client_cpu_s")),
        number(_median(rows, "server_cpu_s")),
        number(_median(rows, "peak_rss_mb")),
        str(len(rows)),
    ]


def _contents(methods: dict[str, list[Row]]) -> str:
    digests = {row["digest"] for found in methods.values() for row in found}
    if len(digests) == 1:
        return f"\nAll methods left the same content: digest `{digests.pop()[:12]}`.\n"
    limit = {row["digest"] for row in methods["limit"]}
    other = [f"`{name}`" for name, found in methods.items() if {row["digest"] for row in found} - limit]
    return f"\nThese methods did NOT leave the content of the limit: {', '.join(other)}.\n"


def _methods(rows: list[Row]) -> str:
    names = dict.fromkeys(row["method"] for row in rows if row["method"] not in TOGETHER)
    said = {name: getattr(load_methods, name.replace("-", "_")).__doc__.splitlines()[0] for name in names}
    return "".join(f"- `{name}`: {text}\n" for name, text in said.items())


# --- aims -----------------------------------------------------------------------------------------------------------

RATIOS = (
    ("triptych-copy", SIZES[0], 1.25), ("triptych-copy", SIZES[1], 1.05),
    ("triptych-step", SIZES[0], 1.8), ("triptych-step", SIZES[1], 1.2),
)  # fmt: skip
LESS_CPU = 150
WHAT = {"triptych-copy": "the COPY itself", "triptych-step": "the whole step"}


def _aims(rows: list[Row]) -> list[list[str]]:
    lines = []
    for method, size, bound in RATIOS:
        if found := _spread(_of(rows, method, size), "ratio_to_limit"):
            lines.append(verdict(f"{WHAT[method]}, {size:,} rows, x limit", found.median, bound))
    for size in SIZES:
        if less := _times_less_cpu(rows, size):
            aim = f'CPU of `to_sql(method="multi")` / of the whole step, {size:,} rows'
            lines.append(verdict(aim, less, LESS_CPU, at_least=True))
    flat, part = (_spread(_of(rows, "triptych-step", size), "peak_rss_mb") for size in (FLAT_ROWS, PART_ROWS))
    if flat and part:
        lines.append(verdict("peak memory at 10M rows / at 1M", flat.median / part.median, 1.2))
    turn, once = (_of(rows, name, 2 * PART_ROWS) for name in TOGETHER)
    if turn and once:
        gain = _median(turn, "wall_s") / _median(once, "wall_s")
        lines.append(verdict("two months at once, throughput x one after the other", gain, 1.4, at_least=True))
    return lines


_SIDES = ("server", "client")


def _times_less_cpu(rows: list[Row], size: int) -> float | None:
    """Return how many times less CPU the step needs than `to_sql(method="multi")`; None if one of them was not run."""
    step, multi = _of(rows, "triptych-step", size), _of(rows, "pandas-to-sql-multi", size)
    return _cpu(multi) / _cpu(step) if step and multi else None


def _cpu(rows: list[Row]) -> float:
    return sum(_median(rows, f"{side}_cpu_s") for side in _SIDES)


def _why_copy(rows: list[Row], size: int) -> str:
    """Say what the COPY of few rows waits for and the limit does not."""
    copy, limit = _of(rows, "triptych-copy", size), _of(rows, "limit", size)
    if not (copy and limit):
        return ""
    return (
        f"\nAt {size:,} rows the client spends {number(_median(copy, 'client_cpu_s'))} s of CPU on the COPY, and "
        f"{number(_median(limit, 'client_cpu_s'))} s on the COPY of encoded bytes. Nothing overlaps with the first "
        "batch, which is a quarter of the file, and each run is the first one of its process; a process that loads "
        "again and again came nearer to the limit ([decision 7](../decisions/0007-the-copy-path.md)).\n"
    )


def _why_cpu(rows: list[Row], size: int) -> str:
    """Say where the step's CPU time goes, if it is more than the aim allows."""
    found, limit, step = _times_less_cpu(rows, size), _of(rows, "limit", size), _of(rows, "triptych-step", size)
    if found is None or found >= LESS_CPU or not limit:
        return ""
    return (
        f"\nTo need {LESS_CPU} times less CPU than `multi` at {size:,} rows, the step may take "
        f"{number(found * _cpu(step) / LESS_CPU)} s. It takes {number(_cpu(step))} s; the limit, which neither "
        f"decodes nor checks anything, takes {number(_cpu(limit))} s.\n"
    )


def _why(rows: list[Row], cores: int) -> str:
    """Say how fast the whole step could be at best, computed from the CPU seconds that it takes."""
    text = ""
    for size in SIZES[:2]:
        limit, step = _of(rows, "limit", size), _of(rows, "triptych-step", size)
        if not (limit and step):
            continue
        copy, server, client = _median(limit, "server_cpu_s"), *(_median(step, f"{side}_cpu_s") for side in _SIDES)
        best = _cpu(step) / cores / min(row["wall_s"] for row in limit)
        text += (
            f"\nAt {size:,} rows the server spends {number(server)} s of CPU on the step, and {number(copy)} s on "
            f"the COPY of encoded bytes. The client spends {number(client)} s: it decodes, casts, encodes and hashes "
            f"the rows while the server takes them. Spread evenly over {cores} cores, both together are "
            f"{number(best)} x the limit's fastest round.\n"
        )
    text += _why_copy(rows, SIZES[0])
    text += "".join(_why_cpu(rows, size) for size in SIZES)
    if turn := _of(rows, next(iter(TOGETHER)), 2 * PART_ROWS):
        busy = _cpu(turn) / _median(turn, "wall_s")
        text += (
            f"\nOne load after the other already keeps {number(busy)} cores busy, because client and server work at "
            f"the same time. So two loads at once on {cores} cores reach {number(cores / busy)} x that throughput at "
            "best.\n"
        )
    return text
