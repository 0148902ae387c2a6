"""What people say about ways to insert, measured, beside the server and with a network in between.

    python -m benchmarks.strategies.claims [--rounds 3] [--delays 0,1,10]

The same rows go into the same table by COPY, in batches and row by row, through `benchmarks.harness.proxy` with a delay
of so many milliseconds in each direction. Costs are compared per row, because a method that waits for an answer to each
row gets fewer rows: 60,000 at 10 ms would take 20 minutes. Contents are checked by digest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.harness import measure
from benchmarks.harness.proxy import delayed
from benchmarks.strategies.inserts import BATCH, MONTH, TABLE
from core import digest, load
from core.database import connect
from core.extract import sample
from core.settings import settings


@dataclass(frozen=True)
class Method:
    """One way to insert: its description, and how many rows it gets, fewer where it waits on each row."""

    words: str
    rows: int
    rows_far: int


METHODS = {
    "copy": Method("COPY, binary", 60_000, 60_000),
    "executemany": Method("psycopg 3 `executemany` (a pipeline: it does not wait per row)", 60_000, 60_000),
    "execute_values": Method(f"psycopg2 `execute_values`, {BATCH:,} rows per INSERT", 60_000, 60_000),
    "execute": Method("one INSERT per row, each awaited", 2_000, 500),
    "to_sql": Method("`pandas.to_sql`, default", 10_000, 10_000),
    "to_sql_multi": Method(f'`pandas.to_sql(method="multi", chunksize={BATCH})`', 5_000, 5_000),
}
FAR_MS = 5.0
"""From this delay on, a method gets `rows_far` rows."""


def write_file(path: Path, rows: int) -> str:
    """Write a month without values that some peers alter: pandas turns NaN into NULL, and psycopg2 writes -0.0 as 0."""
    sample.write_month(path, MONTH, rows=rows)
    table = pq.read_table(path)
    for index, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            values = table[column.name]
            plain = pc.if_else(pc.and_(pc.is_finite(values), pc.not_equal(values, 0.0)), values, 0.0)
            table = table.set_column(index, column.name, plain)
    pq.write_table(table, path)
    return str(path)


def round_trip_ms(dsn: str) -> float:
    """Return the round trip to the server through `dsn`: the median of 21 queries."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        times = []
        for _ in range(21):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            times.append(time.perf_counter() - began)
    return round(1000 * statistics.median(times), 2)


def measured(at: measure.Server, delay_ms: float, rounds: int) -> Iterator[measure.Row]:
    """Run every method, round after round, at one distance; yield the results."""
    # The generator varies the number of rows by 5 %, and 60,000 are needed.
    path = write_file(at.folder / "claims.parquet", 66_000)
    digests: dict[int, str] = {}
    near = nullcontext(at.dsn)
    with delayed(at.dsn, delay_ms / 1000) if delay_ms else near as dsn:
        trip_ms = round_trip_ms(dsn)
        for number, name in measure.interleaved(dict.fromkeys(METHODS, rounds)):
            rows = METHODS[name].rows_far if delay_ms >= FAR_MS else METHODS[name].rows
            done = measure.run(
                f"benchmarks.strategies.inserts:{name}", {"path": path, "rows": rows}, replace(at, dsn=dsn)
            )
            found = content()
            if found.rows != rows or digests.setdefault(rows, found.hex) != found.hex:
                raise measure.BenchmarkError(f"{name}: {found.rows} of {rows} rows, digest {found.hex}, not {digests}")
            per_row = 1e6 * done.wall_s / rows
            print(
                f"{delay_ms:>4g} ms  {name:<15} {rows:>6} rows {done.wall_s:8.2f} s  {per_row:8.1f} us a row",
                flush=True,
            )
            yield {
                "method": name, "one_way_ms": delay_ms, "round_trip_ms": trip_ms, "rows": rows, "round": number,
                "wall_s": done.wall_s, "us_per_row": round(per_row, 2), "client_cpu_s": done.client_cpu_s,
                "server_cpu_s": done.server_cpu_s, "digest": found.hex,
            }  # fmt: skip


def content() -> digest.Digest:
    """Return the digest of the table."""
    schema, _, name = TABLE.partition(".")
    with connect("benchmark") as connection:
        return digest.table(connection, schema, name)


def main(argv: list[str] | None = None) -> int:
    """Measure, and write ``claims.json``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.strategies.claims", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--delays", type=lambda text: [float(word) for word in text.split(",")], default=[0.0, 1.0, 10.0],
        metavar="MS,...", help="in each direction, in milliseconds",
    )  # fmt: skip
    measure.folder_option(parser)
    wanted = parser.parse_args(argv)
    with measure.server() as at:
        os.environ["TRIPTYCH_DSN"] = at.dsn
        settings.cache_clear()
        load.begin("claims")
        at.execute(f"CREATE TABLE {TABLE} (LIKE claims.raw_trips)")
        about = measure.facts(at, ["pandas", "pgpq", "psycopg", "psycopg2-binary", "pyarrow", "sqlalchemy"])
        rows = [row for delay in wanted.delays for row in measured(at, delay, wanted.rounds)]
    print(measure.write("claims", about, rows, wanted.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
