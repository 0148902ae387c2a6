"""Claims about Prefect."""

from __future__ import annotations

from benchmarks.folklore.claim import Claim, Found, question
from benchmarks.folklore.claims.dagster import starts
from benchmarks.folklore.results import Results
from benchmarks.harness.markdown import number

SAID_START_S = 10.0


def no_backfill(found: Results) -> Found:
    """Read whether the server knows backfills, and whose the one of the guide is."""
    shipped = found.check("prefect_shipped")
    row = found.answer("dates", case="a backfill of 2024-06 to 2024-08, in which July fails")
    return Found(
        f"{shipped['paths_of_backfills']} of {shipped['paths']} paths of the server's API are of backfills. The "
        f"backfill of the guide is {row['native']['prefect']} in Prefect, by a parent flow, and "
        f"{row['native']['airflow']} in Airflow and Dagster.",
        shipped["paths_of_backfills"] == 0 < shipped["paths"]
        and row["native"] == {"airflow": "native", "dagster": "native", "prefect": "emulated"},
    )


def flow_retry(found: Results) -> Found:
    """Count which tasks a flow's retry ran again."""
    runs = found.check("prefect_retry")
    shipped, persisted = runs["as_shipped"], runs["persisted"]
    return Found(
        f"{shipped['months']} loads, then a task that fails once: as shipped the retry loads again, {shipped['loads']} "
        f"loads in all. With `persist_result=True` on the task, {persisted['loads']}.",
        shipped["loads"] == 2 * shipped["months"] and persisted["loads"] == persisted["months"],
    )


def start(found: Results) -> Found:
    """Read the worker's poll, and how long a run takes to start with a shorter one."""
    shipped = found.check("prefect_shipped")["worker_query_s"]
    seconds = starts(found)["prefect"]
    bound = found.answer("events", about="latency", case="what bounds it")["prefect"]
    return Found(
        f"As shipped the worker asks for runs every {shipped:g} s. With the settings of this project's adapter, a run "
        f"starts {number(seconds)} s after it exists; what bounds it is {bound}.",
        shipped == SAID_START_S and seconds < SAID_START_S / 2,
    )


CLAIMS = (
    Claim(
        "prefect-backfill",
        "Prefect has no backfill.",
        circulates="comparisons by vendors, issue trackers",
        verdict="true",
        meaning=(
            "A parent flow that starts a run for each month is a few lines, and then retries, concurrency and "
            "*what has failed* are yours as well."
        ),
        evidence=no_backfill,
        check="prefect_shipped",
        more=(question("dates", "prefect"),),
    ),
    Claim(
        "prefect-flow-retry",
        "A retry of a Prefect flow runs every task again.",
        circulates="issue trackers, community chats",
        verdict="depends",
        meaning=(
            "A task whose result was not persisted runs again, also one that has succeeded. A persisted result is "
            "trusted without a look at the table, so it is right only for tasks whose result is all that they do."
        ),
        evidence=flow_retry,
        check="prefect_retry",
    ),
    Claim(
        "prefect-start",
        "Prefect takes ten seconds to start a run.",
        circulates="benchmarks by vendors, comparisons",
        verdict="depends",
        meaning=(
            "It is the worker's pause between two looks, a setting. A benchmark that leaves it alone measures the "
            "setting and not the engine. What is left is the start of a process."
        ),
        evidence=start,
        check="prefect_shipped",
        more=(question("events", "prefect"),),
    ),
)
