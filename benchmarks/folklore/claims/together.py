"""Claims about all three orchestrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.folklore.claim import FOLDER, ORCHESTRATORS, PYTHON, Claim, Found, question
from benchmarks.folklore.results import Results
from benchmarks.harness.markdown import number

BASELINE = "plain"


def listed(values: Mapping[str, Any]) -> str:
    """Return what each orchestrator answered: ``Airflow a, Dagster b, Prefect c``."""
    return ", ".join(f"{title} {values[name]}" for name, title in ORCHESTRATORS.items())


def docker(found: Results) -> Found:
    """Read how long services without a container take to start."""
    seconds = {name: found.median("backfill", "wall_s", orchestrator=name, turn="start") for name in ORCHESTRATORS}
    shown = listed({name: f"{number(value)} s" for name, value in seconds.items()})
    return Found(
        f"From nothing to services that accept work, without a container: {shown} (medians, the database included).",
        max(seconds.values()) < 60,
    )


def overhead(found: Results) -> Found:
    """Compare what a backfill takes with and without an orchestrator, with work to do and without."""
    load, unchanged = (
        {name: found.median("backfill", "wall_s", orchestrator=name, turn=turn) for name in (BASELINE, *ORCHESTRATORS)}
        for turn in ("load", "unchanged")
    )
    months = found.rows("backfill")[0]["months"]
    more = {name: load[name] / load[BASELINE] - 1 for name in ORCHESTRATORS}
    return Found(
        f"A loop in Python loads {months} months in {number(load[BASELINE])} s. What an orchestrator adds to that: "
        f"{listed({name: f'{value:.0%}' for name, value in more.items()})}. With nothing new, the loop needs "
        f"{number(unchanged[BASELINE])} s, {listed({name: f'{number(unchanged[name])} s' for name in ORCHESTRATORS})}.",
        all(value > 0.25 for value in more.values())
        # What an orchestrator adds stays about the same, so it is small beside hours of work.
        and all(load[name] - load[BASELINE] < 1.25 * unchanged[name] for name in ORCHESTRATORS),
    )


def sqlite(found: Results) -> Found:
    """Compare writers on SQLite with writers on PostgreSQL."""
    tried = found.check("sqlite")
    one, deferred, immediate, postgresql = (
        tried[name] for name in ("one_writer", "deferred", "immediate", "postgresql")
    )
    return Found(
        f"One writer: {one['refused']} of {one['transactions']:,} transactions are refused. {tried['writers']} "
        f"writers that read before they write: {deferred['refused']} of {deferred['transactions']:,} are refused as "
        f"locked, all within {number(deferred['took_s'])} s. With `BEGIN IMMEDIATE`: {immediate['refused']}. On "
        f"PostgreSQL: {postgresql['refused']}.",
        one["refused"] == immediate["refused"] == postgresql["refused"] == 0 < deferred["refused"],
    )


def paused(found: Results) -> Found:
    """Read the state of a run that was started by hand while the schedule was paused."""
    row = found.answer("dates", case="by hand, while the schedule is paused")
    states = {name: row[name]["state"] for name in ORCHESTRATORS}
    return Found(
        f"A run that is started by hand while the schedule is paused: {listed(states)}.",
        states == {"airflow": "queued", "dagster": "success", "prefect": "success"},
    )


def red(found: Results) -> Found:
    """Read how runs with a failed task ended."""
    rows = {
        name: found.answer("trigger_rules_costs", of=f"a run: failure, then a {name}")
        for name in ("clean-up with all_done", "teardown")
    }
    cleaned, torn = ({name: row[name] for name in ORCHESTRATORS} for row in rows.values())
    return Found(
        f"A task fails, and a clean-up with the rule `all_done` succeeds after it. The run: {listed(cleaned)}. With a "
        f"teardown in its place: {listed(torn)}.",
        cleaned["airflow"] == "success" and set(torn.values()) == {"failed"},
    )


def own_values(found: Results) -> Found:
    """Count the runs that were handed the value of another run."""
    row = found.answer("values", part="together")
    wrong = {name: row[name]["with the value of another run"] for name in ORCHESTRATORS}
    return Found(
        f"{row['dagster']['runs']} runs, several at a time. With the value of another run: {listed(wrong)}.",
        wrong["airflow"] == wrong["prefect"] == 0 < wrong["dagster"],
    )


def killed_run(found: Results) -> Found:
    """Read the state of a run whose process was killed."""
    row = found.answer("limits", case="the process that holds the slot is killed")
    states = {name: row[name]["killed run"] for name in ORCHESTRATORS}
    return Found(
        f"The process of a run is ended by SIGKILL, on services that go on. The run: {listed(states)}.",
        set(states.values()) == {"failed"},
    )


def killed_slot(found: Results) -> Found:
    """Read whether the slot of a killed process was free again."""
    row = found.answer("limits", case="the process that holds the slot is killed")
    freed = {name: row[name]["next run has the slot within 60 s"] for name in ORCHESTRATORS}
    return Found(
        "The process that holds the only slot is ended by SIGKILL. The next run has the slot within 60 s: "
        f"{listed({name: 'yes' if value else 'no' for name, value in freed.items()})}.",
        freed == {"airflow": True, "dagster": False, "prefect": False},
    )


CLAIMS = (
    Claim(
        "docker",
        "You need Docker to run one of them locally.",
        circulates="quick starts, tutorials",
        verdict="false",
        meaning=(
            "Each is a Python package with a few processes, and PostgreSQL is in a wheel too. Containers are for "
            "deployment."
        ),
        evidence=docker,
        more=(
            ".venvs/lab/bin/triptych up airflow",
            ".venvs/lab/bin/triptych down",
        ),
    ),
    Claim(
        "overhead",
        "What an orchestrator costs is nothing beside the work.",
        circulates="comparisons, conference talks",
        verdict="depends",
        meaning=(
            "The cost is for each run and task, whatever they do. Beside hours of work it is nothing, beside "
            "months that load in two seconds it is about as much as the work."
        ),
        evidence=overhead,
        more=(f"{PYTHON} -m benchmarks.orchestrators.backfill --on plain,airflow --rounds 1 {FOLDER}",),
    ),
    Claim(
        "sqlite",
        "SQLite is for demos only.",
        circulates="the documentation, lists of best practices",
        verdict="depends",
        meaning=(
            "All three ship with it. One writer is safe, and several are if each transaction begins as a writer. One "
            "that begins as a reader is refused while another writes, and no time-out helps. This is SQLite itself, "
            "in the mode (WAL) that all three choose; no orchestrator was run on it."
        ),
        evidence=sqlite,
        check="sqlite",
    ),
    Claim(
        "paused",
        "Pausing a pipeline only stops its schedule.",
        circulates="tutorials, answers on question-and-answer sites",
        verdict="depends",
        meaning=(
            "A paused DAG of Airflow is paused for everybody, and a backfill waits with it. In the other two, "
            "only the schedule is paused."
        ),
        evidence=paused,
        more=(question("dates", "airflow"),),
    ),
    Claim(
        "failed-task",
        "A run with a failed task is a failed run.",
        circulates="tutorials, on-call handbooks",
        verdict="depends",
        meaning=(
            "In Airflow the last tasks decide, in Prefect what the flow returns. Declare a clean-up as a "
            "teardown, and the failure stays visible."
        ),
        evidence=red,
        more=(
            question("trigger_rules_costs", "airflow"),
            question("trigger_rules_costs", "dagster"),
        ),
    ),
    Claim(
        "own-values",
        "A run gets the values that its own tasks have returned.",
        circulates="tutorials, which take it for granted",
        verdict="depends",
        meaning=(
            "Dagster stores the value of an asset under the asset's key and partition, not under the run, so the "
            "last writer wins. Between the ops of a job the run is part of the path."
        ),
        evidence=own_values,
        more=(question("values", "dagster"),),
    ),
    Claim(
        "killed-run",
        "A run whose process was killed stays Running.",
        circulates="issue trackers, comparisons",
        verdict="depends",
        meaning=(
            "With this project's settings all three notice it while the service that started the process lives. As "
            "shipped, Dagster looks after no run that dies together with its code server, and Prefect after none that "
            "dies together with its worker. What else may die, and how soon it is noticed, is a matter of the drills."
        ),
        evidence=killed_run,
        more=(
            question("limits", "airflow"),
            question("limits", "prefect"),
        ),
    ),
    Claim(
        "killed-slot",
        "When a task is killed, its slot in a limit is free again.",
        circulates="the documentation",
        verdict="depends",
        meaning=(
            "Airflow counts the tasks that run. A limit that is a lease or a record must expire first, or be "
            "freed by hand."
        ),
        evidence=killed_slot,
        more=(
            question("limits", "airflow"),
            question("limits", "prefect"),
        ),
    ),
)
