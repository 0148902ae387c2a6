"""Retry a flow whose last task fails once, and count which tasks run again: as shipped, and with results persisted.

Runs in Prefect's environment with a server of its own, which ends with it, and prints one line of JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from prefect import flow, task
from prefect.testing.utilities import prefect_test_harness

MONTHS = ("2024-01", "2024-02", "2024-03")


def retried(name: str, **options: Any) -> dict[str, int]:
    """Run a flow with one retry; return how often its tasks ran."""
    ran: Counter[str] = Counter()

    @task(name=f"load {name}", **options)
    def load(month: str) -> str:
        ran["load"] += 1
        return month

    @task(name=f"build {name}")
    def build(months: list[str]) -> None:
        ran["build"] += 1
        if ran["build"] == 1:
            raise RuntimeError("the first attempt fails")

    @flow(name=name, retries=1)
    def months() -> None:
        build([load(month) for month in MONTHS])

    months()
    return {"months": len(MONTHS), "loads": ran["load"], "builds": ran["build"]}


def main() -> None:
    """Print what was found."""
    with prefect_test_harness():
        found = {"as_shipped": retried("shipped"), "persisted": retried("persisted", persist_result=True)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
