"""The page of the digest race."""

from __future__ import annotations

from typing import Any

from benchmarks.digest.methods import METHODS
from benchmarks.harness.markdown import AIMS, header, number, table, verdict
from benchmarks.harness.measure import Row, spread

_INTRODUCTION = """\
Are two tables equal? They hold the same rows, stored in different order, in two schemas of one database. Every run has
a process of its own, with imports made before the clock starts; rounds are interleaved. Wall time is the median of the
rounds for both tables together, followed by the fastest and the slowest; x copy-out is the median of the ratios to the
copy-out of the same round, which reads both tables and compares nothing.
"""


def page(result: dict[str, Any]) -> str:
    """Return the page, from the results of `benchmarks.digest.race`."""
    rows: list[Row] = result["rows"]
    sizes = sorted({row["rows"] for row in rows})
    names = dict.fromkeys(row["method"] for row in rows)
    said = "".join(f"- `{name}`: {(METHODS[name].__doc__ or '').splitlines()[0]}\n" for name in names)
    parts = [header("Comparing two tables", "benchmarks/results/digest.json", result), _INTRODUCTION]
    parts += [f"## {size:,} rows\n\n{_table([row for row in rows if row['rows'] == size])}" for size in sizes]
    aims = [_aim(rows, size) for size in sizes]
    parts += [f"## The methods\n\n{said}", "## The aim\n\n" + table(AIMS, aims)]
    return "\n".join(parts)


def _table(rows: list[Row]) -> str:
    head = (
        "method",
        "wall s",
        "from - to",
        "x copy-out",
        "client CPU s",
        "server CPU s",
        "peak MB",
        "says equal",
        "rounds",
    )
    methods = {
        name: [row for row in rows if row["method"] == name] for name in dict.fromkeys(r["method"] for r in rows)
    }
    ordered = sorted(methods.items(), key=lambda item: spread(row["wall_s"] for row in item[1]).median)
    return table(head, [_line(name, found) for name, found in ordered])


def _line(name: str, rows: list[Row]) -> list[str]:
    wall = spread(row["wall_s"] for row in rows)
    keys = ("ratio_to_copy_out", "client_cpu_s", "server_cpu_s", "peak_rss_mb")
    medians = [number(spread(row[key] for row in rows if row[key] is not None).median) for key in keys]
    equal = {None: "does not compare", True: "yes", False: "NO"}
    found = " / ".join(equal[value] for value in dict.fromkeys(row["equal"] for row in rows))
    return [
        f"`{name}`",
        number(wall.median),
        f"{number(wall.low)} - {number(wall.high)}",
        *medians,
        found,
        str(len(rows)),
    ]


def _aim(rows: list[Row], size: int) -> list[str]:
    ratios = [row["ratio_to_copy_out"] for row in rows if (row["method"], row["rows"]) == ("triptych-digest", size)]
    return verdict(f"the digest, {size:,} rows, x copying out", spread(ratios).median, 1.0)
