"""A year of yellow months of three million rows: how near loads and builds are to what PostgreSQL does alone.

    python -m benchmarks.transform.year [--months 12] [--rows 3000000]

    load     each month: the step `ingest_month`, beside a COPY of the same rows that were encoded in advance
    build    one refresh of all months, then one of a single month that was loaded again; each beside CREATE TABLE AS
             of the query of `fct_trips`, with the key of the published table

Each runs in a process of its own, so that its peak memory is its own. A year of the default size takes 40 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import measure
from benchmarks.harness.measure import Measured, Row, Server
from benchmarks.transform.times import node_seconds, results_of, warm
from benchmarks.transform.year_steps import BARE, DATASET, SCHEMA, run
from core import load, pipeline
from core.datasets import YELLOW
from core.extract import Extracted, sample
from core.load.copy import encoded
from core.month import Month, parse_months
from core.settings import settings

MONTHS = "2024-01..2024-12"


def step(name: str, at: Server, **arguments: str) -> Measured:
    """Run one of the timed steps in a process of its own."""
    return measure.run(f"benchmarks.transform.year_steps:{name}", arguments, at, python=Path(sys.executable))


def row(question: str, way: str, rows: int, found: Measured, **facts: object) -> Row:
    """Return one measurement as a row of the results."""
    print(f"{question:<14} {way:<16} {rows:>12,} rows {found.wall_s:>8.1f} s {found.peak_rss_mb:>7.0f} MB", flush=True)
    return {
        "question": question, "way": way, "rows": rows, **facts, "wall_s": found.wall_s,
        "client_cpu_s": found.client_cpu_s, "server_cpu_s": found.server_cpu_s, "peak_rss_mb": found.peak_rss_mb,
    }  # fmt: skip


def loads(at: Server, months: list[Month], rows: int) -> Iterator[Row]:
    """Load the months one after the other, each beside a bare COPY of it."""
    folder = at.folder / "published"
    sample.ensure(folder, [])
    pipeline.ingest_zones(run(str(folder)))
    for month in months:
        path = folder / sample.file_name(month, DATASET)
        count = sample.write_month(path, month, rows=rows, cab=DATASET)
        yield row("load", "triptych", count, step("load", at, folder=str(folder), month=str(month)), month=str(month))
        wire = at.folder / "wire"
        encode(path, month, wire)
        yield row("load", "copy", count, step("copy", at, wire=str(wire)), month=str(month))
        at.execute(f"DROP TABLE {BARE}.raw")
        wire.unlink()
        if month != months[0]:
            # The first one is loaded again.
            path.unlink()


def encode(path: Path, month: Month, wire: Path) -> None:
    """Write the file's rows as the bytes of a binary COPY."""
    file = Extracted(path, path.name, "0" * 64, path.stat().st_size)
    order = load.Load(SCHEMA, YELLOW, month, file, "swap", "benchmark", "", 0, accept_suspect=True)
    with wire.open("wb") as out:
        for piece, _ in encoded(order):
            out.write(piece)


def builds(at: Server, months: list[Month]) -> Iterator[Row]:
    """Build the year, then one month of it that was loaded again, each beside the bare query."""
    folder = at.folder / "published"
    yield from build(at, "build a year")
    at.execute("VACUUM ANALYZE")
    pipeline.ingest_month(run(str(folder)), months[0])
    yield from build(at, "build a month")


def build(at: Server, question: str) -> Iterator[Row]:
    """Refresh what is pending; then run the query of its `fct_trips` alone."""
    found = step("refresh", at)
    facts_s = node_seconds(SCHEMA)["fct_trips"]
    query = next(
        result["compiled_code"]
        for result in results_of(SCHEMA)["results"]
        if result["unique_id"] == "model.triptych.fct_trips"
    )
    ((count,),) = at.execute(f"SELECT count(*) FROM ({query}) AS trips")
    yield row(question, "triptych", count, found, fct_trips_s=facts_s)
    bare = step("create_table_as", at, query=query)
    yield row(question, "create table as", count, bare, fct_trips_s=bare.value)
    at.execute(f"DROP TABLE {BARE}.trips")


def main(argv: list[str] | None = None) -> int:
    """Measure, and write ``year.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transform.year", description=__doc__.splitlines()[0])
    parser.add_argument("--months", type=int, default=12, help="how many (default %(default)s)")
    parser.add_argument("--rows", type=int, default=3_000_000, help="of each month (default %(default)s)")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    months = [*parse_months(MONTHS)[: asked.months]]
    with measure.server() as at:
        os.environ |= {"TRIPTYCH_DSN": at.dsn, "TRIPTYCH_HOME": str(at.folder)}
        settings.cache_clear()
        about = measure.facts(at, ["pgpq", "psycopg", "pyarrow"], Path(sys.executable))
        at.execute(f"CREATE SCHEMA {BARE}")
        with warm():
            rows = [*loads(at, months, asked.rows), *builds(at, months)]
        about["versions"]["dbt"] = results_of(SCHEMA)["metadata"]["dbt_version"]
    about["conditions"] = {"months": len(months), "rows_per_month": asked.rows}
    print(measure.write("year", about, rows, asked.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
