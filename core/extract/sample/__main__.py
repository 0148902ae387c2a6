"""The command line of the sample data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow.parquet as pq

from core.errors import UsageError
from core.extract.sample.files import ensure
from core.extract.sample.rows import ROWS, SEED, STEPS
from core.month import Month, parse_months


def main(argv: list[str] | None = None) -> int:
    """Write the files that the arguments ask for. Return 0, or 2 on a usage error."""
    parser = argparse.ArgumentParser(prog="core.extract.sample", description="Write sample months and the zone lookup.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("months", help="as in 2024-01..2024-03,2025-01")
    parser.add_argument("--cab", choices=STEPS, default="green")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a month, give or take 5 %% (default %(default)s)")
    args = parser.parse_args(argv)
    try:
        ensure(args.folder, parse_months(args.months), args.seed, args.rows, _print, args.cab)
    except UsageError as error:
        print(f"core.extract.sample: {error}", file=sys.stderr)
        return 2
    return 0


def _print(month: Month, path: Path, written: bool, seconds: float) -> None:
    rows = pq.read_metadata(path).num_rows
    action = f"written in {seconds:.2f} s" if written else "kept"
    print(f"{month}  {rows:>9,} rows  {path.stat().st_size:>11,} bytes  {action}")


if __name__ == "__main__":
    sys.exit(main())
