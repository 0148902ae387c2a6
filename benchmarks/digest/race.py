"""The digest race: are two tables equal? Our digest against copying them out, and against what people use for it.

    python -m benchmarks.digest.race [--rows 60000,1000000] [--rounds N] [--methods triptych-digest,copy-out,...]

Writes ``benchmarks/results/digest.json``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg

from benchmarks.digest.methods import KEY, SCHEMAS
from benchmarks.harness import measure
from benchmarks.harness.measure import BenchmarkError, Row, Server
from benchmarks.load.methods import CREATE, SCHEMA, TABLE, encode
from benchmarks.load.race import make_file

SIZES = (60_000, 1_000_000)

ROUNDS = {
    "copy-out": (9, 7),
    "triptych-digest": (9, 7),
    "datacompy": (3, 2),
    "reladiff-hash": (3, 2),
    "reladiff-join": (3, 1),
}

PACKAGES = ("datacompy", "polars", "psycopg", "pyarrow", "reladiff")


def make_tables(server: Server, rows: int) -> None:
    """Create ``one.trips`` as loaded, and ``two.trips`` with the same rows in another order."""
    path, wire = server.folder / "digest.parquet", server.folder / "digest.wire"
    make_file(path, rows)
    encode(str(path), str(wire))
    one, two = SCHEMAS
    server.execute(*(f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in SCHEMAS))
    server.execute(f"CREATE SCHEMA {one}", f"CREATE SCHEMA {two}", CREATE.replace(f"{SCHEMA}.", f"{one}."))
    _send(server, wire, f"COPY {one}.{TABLE} FROM STDIN (FORMAT binary)")
    server.execute(f"CREATE TABLE {two}.{TABLE} AS TABLE {one}.{TABLE} ORDER BY pickup_datetime, {KEY}")
    for schema in SCHEMAS:
        server.execute(f"CREATE UNIQUE INDEX ON {schema}.{TABLE} ({KEY})", f"VACUUM ANALYZE {schema}.{TABLE}")
    server.execute("CHECKPOINT")
    path.unlink()
    wire.unlink()


def _send(server: Server, wire: Path, into: str) -> None:
    with psycopg.connect(server.dsn) as connection, connection.cursor().copy(into.encode()) as copy:
        copy.write(wire.read_bytes())


def race(server: Server, rows: int, rounds: dict[str, int]) -> list[Row]:
    """Run all rounds of one size; return their results. A method that fails is reported, and the others go on."""
    make_tables(server, rows)
    made: list[Row] = []
    outs: dict[int, float] = {}
    for turn, method in measure.interleaved(rounds):
        try:
            found = measure.run(f"benchmarks.digest.methods:{method.replace('-', '_')}", {}, server)
        except BenchmarkError as error:
            print(f"{rows:>10,}  {method:<20} {error}", file=sys.stderr)
            continue
        print(f"{rows:>10,}  {method:<20} {found.wall_s:8.3f} s", flush=True)
        if method == "copy-out":
            outs[turn] = found.wall_s
        made.append({
            "method": method, "rows": rows, "round": turn, "wall_s": found.wall_s, "client_cpu_s": found.client_cpu_s,
            "server_cpu_s": found.server_cpu_s, "peak_rss_mb": found.peak_rss_mb,
            "ratio_to_copy_out": round(found.wall_s / outs[turn], 3) if turn in outs else None, "equal": found.value,
        })  # fmt: skip
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the race; return 1 when a method failed or took the equal tables for different ones."""
    parser = argparse.ArgumentParser(prog="benchmarks.digest.race", description="Compare two equal tables.")
    parser.add_argument("--rows", default=",".join(map(str, SIZES)), help="sizes (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=99, help="at most, of each method")
    parser.add_argument("--methods", default=",".join(ROUNDS), help="which (default: all)")
    measure.folder_option(parser)
    args = parser.parse_args(argv)
    # The others are compared with copy-out.
    methods = list(dict.fromkeys(["copy-out", *args.methods.split(",")]))
    if unknown := sorted({*methods} - {*ROUNDS}):
        parser.error(f"unknown method {unknown[0]!r}: choose from {', '.join(ROUNDS)}")
    rows: list[Row] = []
    asked = 0
    with measure.server() as server:
        about = measure.facts(server, PACKAGES)
        for size in map(int, args.rows.split(",")):
            rounds = {name: min(args.rounds, ROUNDS[name][size > SIZES[0]]) for name in methods}
            asked += sum(rounds.values())
            rows += race(server, size, rounds)
    print(measure.write("digest", about, rows, args.folder))
    return int(len(rows) < asked or any(row["equal"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
