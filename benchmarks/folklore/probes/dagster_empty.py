"""Materialize an asset whose table stays empty: without a check, with one, and with one that blocks.

Runs in Dagster's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import dagster as dg
import psycopg

TABLE = "folklore_trips"


def rows() -> int:
    """Return how many rows the table has."""
    with psycopg.connect(os.environ["TRIPTYCH_DSN"]) as connection:
        found = connection.execute(f"SELECT count(*) FROM {TABLE}".encode()).fetchone()
    assert found is not None
    return int(found[0])


@dg.asset
def trips() -> None:
    """Load a month for which the source has returned no row."""
    with psycopg.connect(os.environ["TRIPTYCH_DSN"]) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (fare integer)".encode())
        connection.cursor().executemany(f"INSERT INTO {TABLE} VALUES (%s)".encode(), [])


@dg.asset_check(asset=trips)
def has_rows() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=rows() > 0)


@dg.asset_check(asset=trips, blocking=True)
def must_have_rows() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=rows() > 0)


def run(checks: Sequence[dg.AssetChecksDefinition]) -> dict[str, Any]:
    """Materialize the asset with some checks; return how the run ended and what was recorded."""
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([trips, *checks], instance=instance, raise_on_error=False)
        return {
            "run": "success" if done.success else "failed",
            "materializations": len(done.get_asset_materialization_events()),
            "checks_failed": sum(not each.passed for each in done.get_asset_check_evaluations()),
            "rows": rows(),
        }


def main() -> None:
    """Print what was found."""
    found = {"without_check": run([]), "with_check": run([has_rows]), "with_blocking_check": run([must_have_rows])}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
