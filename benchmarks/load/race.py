"""The load race: one month's file into PostgreSQL, ours against what a user would pick instead.

    python -m benchmarks.load.race [--rows 60000,1000000,3000000] [--rounds N] [--methods limit,adbc,...]

Same files, same server, interleaved rounds; after each round the table's content is compared by digest. Writes
``benchmarks/results/load.json``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import measure
from benchmarks.harness.measure import BenchmarkError, Measured, Row, Server
from benchmarks.load.methods import MONTHS, SCHEMA, TABLE, encode
from core import digest
from core.datasets import GREEN
from core.extract import sample

SIZES = (60_000, 1_000_000, 3_000_000)
"""The rows of a real green month, of a third of a yellow month, and of a yellow month."""

PART_ROWS = 1_000_000

FLAT_ROWS = 10_000_000
"""The size at which peak memory is compared with the peak at `PART_ROWS`."""

# Rounds at each size: one where a round takes long, and none of `multi` at 3M, because its time grows in line with the
# rows and 1M take 8 minutes. All together take some 20 minutes on 2 quiet cores, and 12 GB (`to_sql` holds all rows as
# Python objects).
ROUNDS: dict[str, tuple[int, int, int]] = {
    "limit": (11, 7, 3),
    "triptych-copy": (11, 7, 3),
    "triptych-step": (11, 7, 3),
    "adbc": (5, 3, 2),
    "polars": (5, 3, 2),
    "arrow-csv": (5, 3, 1),
    "psycopg-write-row": (3, 2, 1),
    "pandas-csv": (3, 2, 1),
    "dlt": (2, 1, 1),
    "pandas-to-sql": (2, 1, 1),
    "pandas-to-sql-multi": (1, 1, 0),
}
TOGETHER = {"two-months-in-turn": 3, "two-months-at-once": 3}

PACKAGES = (
    "adbc-driver-postgresql", "dlt", "pandas", "pgpq", "polars", "psycopg", "pyarrow", "sqlalchemy",
)  # fmt: skip


def make_file(path: Path, rows: int) -> None:
    """Write a file of exactly `rows` rows as the publisher does, in row groups of a million.

    It has none of the sample's NaNs: no published file has one, and pandas would turn them into NULLs.
    """
    part = _part(min(rows, PART_ROWS))
    with pq.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for start in range(0, rows, PART_ROWS):
            writer.write_table(part.slice(0, min(PART_ROWS, rows - start)), row_group_size=PART_ROWS)


def _part(rows: int) -> pa.Table:
    table = sample.table(MONTHS[0], rows=rows * 11 // 10)
    for column in ("fare_amount", "total_amount", "trip_distance"):
        table = table.filter(pc.invert(pc.is_nan(table[column])))
    # The NULLs are at the end.
    return table.slice(table.num_rows - rows)


def race(server: Server, rows: int, rounds: dict[str, int]) -> list[Row]:
    """Run all rounds of one size; return their results. A method that fails is reported, and the others go on."""
    path, wire = server.folder / f"{rows}.parquet", server.folder / f"{rows}.wire"
    make_file(path, rows)
    if "limit" in rounds:
        encode(str(path), str(wire))
    arguments = {"path": str(path), "wire": str(wire)}
    made: list[Row] = []
    limits: dict[int, float] = {}
    for number, method in measure.interleaved(rounds):
        found = _once(server, method, rows, arguments)
        if found is None:
            continue
        measured, content = found
        if method == "limit":
            limits[number] = measured.wall_s
        made.append(_row(method, rows, number, measured, limits.get(number), content))
    path.unlink()
    wire.unlink(missing_ok=True)
    return made


def _once(server: Server, method: str, rows: int, arguments: dict[str, Any]) -> tuple[Measured, str] | None:
    server.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", f"CREATE SCHEMA {SCHEMA}", "CHECKPOINT")
    function = "two_months" if method in TOGETHER else method.replace("-", "_")
    try:
        measured = measure.run(f"benchmarks.load.methods:{function}", arguments, server)
    except BenchmarkError as error:
        print(f"{rows:>10,}  {method:<20} {error}", file=sys.stderr)
        return None
    print(f"{rows:>10,}  {method:<20} {measured.wall_s:8.3f} s", flush=True)
    with psycopg.connect(server.dsn) as connection:
        table = GREEN.table if method.startswith(("triptych-step", "two-")) else TABLE
        return measured, digest.table(connection, SCHEMA, table).hex


def _row(method: str, rows: int, number: int, measured: Measured, limit: float | None, content: str) -> Row:
    return {
        "method": method,
        "rows": rows,
        "round": number,
        "wall_s": measured.wall_s,
        "client_cpu_s": measured.client_cpu_s,
        "server_cpu_s": measured.server_cpu_s,
        "peak_rss_mb": measured.peak_rss_mb,
        "ratio_to_limit": round(measured.wall_s / limit, 3) if limit else None,
        "digest": content,
    }


def together(server: Server, rounds: int) -> list[Row]:
    """Load two months of `PART_ROWS` each, one after the other and at once. `rows` counts both months."""
    path = server.folder / "month.parquet"
    make_file(path, PART_ROWS)
    made = []
    for number, method in measure.interleaved({name: min(rounds, count) for name, count in TOGETHER.items()}):
        arguments = {"path": str(path), "at_once": method == "two-months-at-once"}
        if found := _once(server, method, 2 * PART_ROWS, arguments):
            measured, content = found
            row = _row(method, 2 * PART_ROWS, number, measured, None, content)
            made.append(row | {"peak_rss_mb": round(measured.value, 1)})
    path.unlink()
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the race; return 1 when a method failed or a table holds other rows than the limit's."""
    parser = argparse.ArgumentParser(prog="benchmarks.load.race", description="Load a month with each method.")
    parser.add_argument("--rows", default=",".join(map(str, SIZES)), help="sizes (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=99, help="at most, of each method")
    parser.add_argument("--methods", default=",".join(ROUNDS), help="which (default: all)")
    measure.folder_option(parser)
    args = parser.parse_args(argv)
    sizes, methods = [int(size) for size in args.rows.split(",")], args.methods.split(",")
    if unknown := sorted({*methods} - {*ROUNDS}):
        parser.error(f"unknown method {unknown[0]!r}: choose from {', '.join(ROUNDS)}")
    with measure.server() as server:
        about = measure.facts(server, PACKAGES)
        rows: list[Row] = []
        asked = 0
        for size in sizes:
            rounds = {method: min(args.rounds, _rounds(method, size)) for method in methods}
            asked += sum(rounds.values())
            rows += race(server, size, rounds)
        if "triptych-step" in methods and max(sizes) >= PART_ROWS:
            rows += race(server, FLAT_ROWS, {"triptych-step": 1}) + together(server, args.rounds)
            asked += 1 + sum(min(args.rounds, count) for count in TOGETHER.values())
    print(measure.write("load", about, rows, args.folder))
    return int(len(rows) < asked or any(len({row["digest"] for row in rows if row["rows"] == n}) > 1 for n in sizes))


def _rounds(method: str, size: int) -> int:
    place = sum(size > bound for bound in SIZES[:-1])
    return ROUNDS[method][place]


if __name__ == "__main__":
    sys.exit(main())
