"""What a refresh of the models costs.

    python -m benchmarks.transform.times [--rounds N] [--rows N] [--loaded N,...]

It answers three questions, each on the lab's own PostgreSQL, through `core.transform.refresh` as every orchestrator
calls it:

    start       one small month is pending: dbt started cold, dbt kept warm
    coalesced   N months are pending: one refresh of all, and N refreshes one after the other
    growth      one real month is pending among more and more loaded ones

Small months show what dbt itself costs, real ones (60,000 rows) what PostgreSQL does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core import pipeline, transform
from core.database import connect
from core.extract import sample
from core.lab.warm_dbt import WarmDbt
from core.month import Month, parse_months
from core.run import Run
from core.settings import settings
from core.transform import dbt
from core.waiting import until

FIRST = "2020-01"
SMALL = 400
"""Rows of a month that cost PostgreSQL next to nothing."""


def loaded(folder: Path, schema: str, months: Sequence[Month], rows: int) -> Run:
    """Load `months` of generated trips into `schema`, untransformed."""
    sample.ensure(folder / f"published-{rows}", months, rows=rows)
    run = Run(str(folder / f"published-{rows}"), schema, loader="benchmark")
    pipeline.ingest_zones(run)
    for month in months:
        pipeline.ingest_month(run, month)
    return run


def reload(run: Run, *months: Month) -> None:
    """Publish the same months once more, so that they are pending."""
    for month in months:
        pipeline.ingest_month(replace(run, force=True), month)


def timed(schema: str, months: int) -> tuple[float, float, dict[str, float]]:
    """Refresh; return wall seconds, CPU seconds of the whole machine, and seconds by model and test."""
    before, started = measure.machine_cpu_s(), time.perf_counter()
    done = transform.refresh(schema)
    wall_s, cpu_s = time.perf_counter() - started, measure.machine_cpu_s() - before
    assert len(done.months) == months, f"{len(done.months)} months were built, not {months}"
    return round(wall_s, 3), round(cpu_s, 2), node_seconds(schema)


def node_seconds(schema: str) -> dict[str, float]:
    """Return seconds of each model and test of the last build."""
    results = results_of(schema)["results"]
    return {result["unique_id"].split(".")[2]: round(result["execution_time"], 3) for result in results}


def results_of(schema: str) -> dict[str, Any]:
    """Return dbt's own results of the last build."""
    with connect("benchmark") as connection:
        folder = dbt.schema_folder(connection.info, schema)
    results: dict[str, Any] = json.loads((folder / "run_results.json").read_text())
    return results


@contextmanager
def warm() -> Iterator[None]:
    """Keep dbt warm for the block, which begins once it is."""
    server = WarmDbt(settings())
    server.start()
    try:
        # The first call waits in the queue until the server is warm.
        until(lambda: next(iter(server.folder.glob("*.sock")), None), 60, 0.01, "the socket of the warm dbt")
        dbt.run(dbt.Command(["parse"], server.folder, dbt.scratch_environment()))
        yield
    finally:
        server.end()


def start(folder: Path, rounds: int) -> Iterator[Row]:
    """Refresh cold and warm, in turn."""
    months = parse_months(f"{FIRST}..2020-03")
    run = loaded(folder, "start", months, SMALL)
    transform.refresh(run.schema)
    for number in range(1, rounds + 1):
        for way in ("cold", "warm"):
            with warm() if way == "warm" else nothing():
                reload(run, months[-1])
                wall_s, cpu_s, _ = timed(run.schema, 1)
            yield row("start", way, number, wall_s, cpu_s, loaded=len(months), built=1, rows=SMALL)


@contextmanager
def nothing() -> Iterator[None]:
    """Prepare nothing: dbt starts cold."""
    yield


def coalesced(folder: Path, rounds: int) -> Iterator[Row]:
    """Refresh N months at once, and one by one, with dbt warm."""
    months = parse_months(f"{FIRST}..2020-12")
    run = loaded(folder, "coalesced", months, SMALL)
    with warm():
        transform.refresh(run.schema)
        for number, count in itertools.product(range(1, rounds + 1), (1, 3, 12)):
            reload(run, *months[:count])
            wall_s, cpu_s, _ = timed(run.schema, count)
            yield row("coalesced", "one refresh", number, wall_s, cpu_s, loaded=12, built=count, rows=SMALL)
            each = []
            for month in months[:count]:
                reload(run, month)
                each.append(timed(run.schema, 1))
            wall_s, cpu_s = round(sum(one[0] for one in each), 3), round(sum(one[1] for one in each), 2)
            yield row("coalesced", "one by one", number, wall_s, cpu_s, loaded=12, built=count, rows=SMALL)


def growth(folder: Path, rounds: int, rows: int, counts: list[int]) -> Iterator[Row]:
    """Refresh one month among more and more, with dbt warm."""
    months = parse_months(f"{FIRST}..2024-12")
    with warm():
        for count in counts:
            run = loaded(folder, "growth", months[:count], rows)
            transform.refresh(run.schema)
            with connect("benchmark", autocommit=True) as connection:
                # As autovacuum would do, sooner or later.
                connection.execute("VACUUM ANALYZE")
            for number in range(1, rounds + 1):
                # The same month each time: the generator's fourth month is empty.
                reload(run, months[1])
                wall_s, cpu_s, nodes = timed(run.schema, 1)
                yield row("growth", "warm", number, wall_s, cpu_s, loaded=count, built=1, rows=rows, nodes=nodes)


def row(question: str, way: str, number: int, wall_s: float, cpu_s: float, **facts: Any) -> Row:
    """Return one measured refresh as a row of the results."""
    return {"question": question, "way": way, "round": number, **facts, "wall_s": wall_s, "cpu_s": cpu_s}


def main() -> int:
    """Measure, and write ``transform.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=60_000, help="rows of a month, for the question of growth")
    parser.add_argument("--loaded", default="6,24,60", help="how many months are loaded, for the same")
    measure.folder_option(parser)
    asked = parser.parse_args()
    with measure.server() as server:
        os.environ |= {"TRIPTYCH_DSN": server.dsn, "TRIPTYCH_HOME": str(server.folder / "state")}
        settings.cache_clear()
        about = measure.facts(server, ["psycopg", "pyarrow"], Path(sys.executable))
        counts = [int(count) for count in asked.loaded.split(",")]
        questions: tuple[Callable[[], Iterator[Row]], ...] = (
            lambda: start(server.folder, asked.rounds),
            lambda: coalesced(server.folder, asked.rounds),
            lambda: growth(server.folder, asked.rounds, asked.rows, counts),
        )
        rows = []
        for each in itertools.chain.from_iterable(question() for question in questions):
            counts_of = f"{each['loaded']:>3} loaded {each['built']:>3} built"
            print(f"{each['question']:<10} {each['way']:<12} {counts_of} {each['wall_s']:>7.2f} s", flush=True)
            rows.append(each)
        about["versions"]["dbt"] = results_of("growth")["metadata"]["dbt_version"]
    print(measure.write("transform", about, rows, asked.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
