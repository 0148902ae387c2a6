"""The page on load strategies, from ``growth.json`` and ``claims.json``.

The trade-offs of each strategy are its docstring.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.harness import markdown, measure
from benchmarks.harness.markdown import number
from benchmarks.strategies.claims import METHODS
from core import load

Row = measure.Row

INTRODUCTION = """
A month is published in one transaction, whatever the strategy, and all four leave the same rows, digest and ledger.
They differ in what that costs. Every reader sees complete months only; the last line of each section says which version
a reader with an older snapshot sees.
"""


def page(growth: dict[str, Any]) -> str:
    """Return the page of ``growth.json``, which may hold ``claims.json`` as well."""
    claims = growth.get("claims")
    parts = [markdown.header("Load strategies", "benchmarks/results/growth.json", growth), INTRODUCTION.strip() + "\n"]
    parts += [*map(_strategy, load.STRATEGIES), _growth(growth), "## What people say\n"]
    return "\n".join([*parts, *([_inserts(claims)] if claims else []), _overwrite_claim(growth)])


def _strategy(name: str) -> str:
    strategy = load.strategy(name)
    sees = (
        "A REPEATABLE READ transaction that began before the load and first reads the table after it "
        f"sees the {strategy.older_snapshot} month."
    )
    alone = " No other load of the table runs at the same time." if strategy.alone else ""
    return f"## {name}\n\n{strategy.trade_offs}\n\n{sees}{alone}\n"


# --- the cost of growth ----------------------------------------------------------------------------------------------


def _growth(growth: dict[str, Any]) -> str:
    rows, conditions = growth["rows"], growth["conditions"]
    idle = number(statistics.median(row["idle_ms"] for row in rows))
    intro = f"""## One month reloaded among others

Months have {conditions["rows_per_month"]:,} rows; one of them is loaded again from a file in which every row differs,
or one in a hundred. The time runs from the verified file to the published month and includes the digest and the ledger
row. Figures are the median (smallest-largest) of the rounds. Before each load the table is vacuumed and a checkpoint is
made, so the WAL includes what the first change of a page writes. The reader asks for the month's count and sum every
{1000 * conditions["reader_pause_s"]:.0f} ms; its waits are those while the load ran and include the query itself, which
took {idle} ms before the load (the median of all).
`wal_level={conditions["wal_level"]}` is PostgreSQL's default. All strategies left the same digests, and no answer to
the reader was part of a month.
"""
    head = [
        "strategy",
        "months",
        "rounds",
        "s",
        "WAL MB",
        "rows written",
        "dead rows",
        "reader, median ms",
        "reader, worst ms",
    ]
    return f"{intro}\n{markdown.table(head, [_growth_line(rows, *each) for each in _cases(rows)])}"


def _cases(rows: list[Row]) -> list[tuple[str, int]]:
    """Return strategy and size, in the order in which each was first measured, all sizes of a strategy together."""
    strategies = dict.fromkeys(row["strategy"] for row in rows)
    sizes = dict.fromkeys(row["months"] for row in rows)
    return [(strategy, months) for strategy in strategies for months in sizes]


def _growth_line(rows: list[Row], strategy: str, months: int) -> list[str]:
    found = [row for row in rows if (row["strategy"], row["months"]) == (strategy, months)]
    return [
        strategy,
        str(months),
        str(len(found)),
        _spread(row["wall_s"] for row in found),
        number(statistics.median(row["wal_bytes"] for row in found) / 1e6),
        f"{statistics.median(row['rows_written'] for row in found):,.0f}",
        f"{statistics.median(row['dead_rows'] for row in found):,.0f}",
        number(statistics.median(row["reader_p50_ms"] for row in found)),
        number(max(row["reader_max_ms"] for row in found)),
    ]


def _spread(values: Iterable[float]) -> str:
    found = measure.spread(values)
    return f"{number(found.median)} ({number(found.low)}-{number(found.high)})"


# --- what people say --------------------------------------------------------------------------------------------------


def _inserts(claims: dict[str, Any]) -> str:
    """Return the claims on ways to insert: what was measured, then each claim with its factors."""
    rows = claims["rows"]
    trips = {row["one_way_ms"]: row["round_trip_ms"] for row in rows}
    lines = [[METHODS[name].words, *(_spread(_found(rows, name, delay)) for delay in trips)] for name in METHODS]
    delays = " and ".join(f"{delay:g}" for delay in trips if delay)
    return f"""The inserts are from `benchmarks/results/claims.json`. {markdown.measured_on(claims)}

Figures are microseconds a row, median (smallest-largest): beside the server, and through a proxy that delays each
direction by {delays} ms without a limit on bandwidth. Rows inserted: {_counts(rows)}. A claim holds from
four fifths to five quarters of its factor.

{markdown.table(["method", *(f"round trip {number(trip)} ms" for trip in trips.values())], lines)}
### "COPY is 5-10x batched inserts"

{_factors(rows, "copy", ("executemany", "execute_values"), (5, 10))}
### "multi is 10x row-at-a-time"

{_factors(rows, "to_sql_multi", ("execute", "to_sql"), (10, 10))}"""


def _counts(rows: list[Row]) -> str:
    """Return how many rows each method got: fewer where it waits for the network on each row."""
    counts = {name: sorted({row["rows"] for row in rows if row["method"] == name}, reverse=True) for name in METHODS}
    return "; ".join(f"{name} {' or '.join(f'{count:,}' for count in found)}" for name, found in counts.items())


def _found(rows: list[Row], method: str, delay: float) -> list[float]:
    return [row["us_per_row"] for row in rows if (row["method"], row["one_way_ms"]) == (method, delay)]


def _factors(rows: list[Row], fast: str, others: tuple[str, ...], bounds: tuple[float, float]) -> str:
    """Return how many times faster a method is than each of the others, at each distance, and the verdict."""
    trips = {row["one_way_ms"]: row["round_trip_ms"] for row in rows}

    def factor(other: str, delay: float) -> str:
        slower, faster = (statistics.median(_found(rows, name, delay)) for name in (other, fast))
        return _factor(slower, faster, bounds)

    lines = [[METHODS[other].words, *(factor(other, delay) for delay in trips)] for other in others]
    return markdown.table(["against", *(f"round trip {number(trip)} ms" for trip in trips.values())], lines)


def _factor(slow: float, fast: float, bounds: tuple[float, float]) -> str:
    """Return a factor and its verdict. The claims are round numbers, so a fifth less or a quarter more holds too."""
    if slow < fast:
        return f"{number(fast / slow)}x slower: the reverse"
    found, low, high = slow / fast, 0.8 * bounds[0], 1.25 * bounds[1]
    return f"{number(found)}x: {'less' if found < low else 'more' if found > high else 'holds'}"


FINE, NOT_FINE = 10, 100
"""An overwrite is "fine" if it takes at most 10 times as long as a swap, and not fine above 100 times."""


def _overwrite_claim(growth: dict[str, Any]) -> str:
    """Return seconds and WAL of an overwrite by rows of the table, on a line that goes beyond what was measured."""
    title = '### "Full overwrite is fine at 600K rows, not at 600M"\n'
    found = [row for row in growth["rows"] if row["strategy"] == "overwrite"]
    if len({row["months"] for row in found}) < 2:
        return f"{title}\nNot measured: a slope needs at least two sizes of the table.\n"
    largest = max(row["rows_written"] for row in found)
    swap_s = statistics.median(row["wall_s"] for row in growth["rows"] if row["strategy"] == "swap")
    small, large = (_overwrite_at(found, rows, swap_s) for rows in (6e5, 6e8))
    return f"""{title}
For each million rows that the table holds, an overwrite {_overwrite_words(found)}.
A swap of the month takes {number(swap_s)} s (median of all sizes).

| rows of the table | overwrite, s | WAL GB | times a swap | |
| ---: | ---: | ---: | ---: | --- |
| 600,000 | {" | ".join(map(number, small))} | on the line through what was measured |
| 600,000,000 | {" | ".join(map(number, large))} | **extrapolated** by a factor of {number(6e8 / largest)} |

The largest table measured had {largest:,} rows and fitted into memory. A table of 600M rows does not, so the second
line is rather too low. "Fine" means here at most {FINE} times as long as a swap, "not fine" more than {NOT_FINE} times.
So the claim {_verdict(small[2], large[2])}.
"""


def _overwrite_words(found: list[Row]) -> str:
    seconds, wal = number(1e6 * _line(found, "wall_s").slope), number(_line(found, "wal_bytes").slope / 1e3)
    return f"takes {seconds} s, writes {wal} GB of WAL and leaves a million dead rows"


def _line(found: list[Row], value: str) -> Any:
    return statistics.linear_regression([row["rows_written"] for row in found], [row[value] for row in found])


def _overwrite_at(found: list[Row], rows: float, swap_s: float) -> tuple[float, float, float]:
    """Return seconds, GB of WAL and the multiple of a swap, for a table of so many rows."""
    seconds, wal = (line.intercept + line.slope * rows for line in (_line(found, "wall_s"), _line(found, "wal_bytes")))
    return seconds, wal / 1e9, seconds / swap_s


def _verdict(few: float, many: float) -> str:
    if few <= FINE and many > NOT_FINE:
        return "holds"
    return f"does not hold: {'600K rows are too many already' if few > FINE else '600M rows are not too many'}"
