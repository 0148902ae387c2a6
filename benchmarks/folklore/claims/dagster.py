"""Claims about Dagster."""

from __future__ import annotations

from benchmarks.folklore.claim import ORCHESTRATORS, Claim, Found, question
from benchmarks.folklore.results import Results
from benchmarks.harness.markdown import number


def starts(found: Results) -> dict[str, float]:
    """Return the seconds from a run's creation to its start, of each orchestrator: the difference of two medians."""
    created, started = (
        found.answer("events", about="latency", case=case)
        for case in ("until the refresh is created", "until the refresh starts")
    )
    return {name: started[name]["median_s"] - created[name]["median_s"] for name in ORCHESTRATORS}


def run_start(found: Results) -> Found:
    """Read how long a run that exists takes to start."""
    seconds = starts(found)
    runs = found.answer("events", about="latency", case="until the refresh starts")["dagster"]["n"]
    others = " and ".join(f"{number(seconds[name])} s in {ORCHESTRATORS[name]}" for name in ("airflow", "prefect"))
    return Found(
        f"{number(seconds['dagster'])} s from the moment a run exists to its start, and {others} (differences of "
        f"medians of {runs}, with the settings of this project's adapters).",
        seconds["dagster"] > 1 > seconds["airflow"],
    )


def step_processes(found: Results) -> Found:
    """Count the processes of a job's steps under two executors."""
    runs = found.check("dagster_steps")
    shipped, within = runs["as_shipped"], runs["in_process"]
    return Found(
        f"As shipped, {shipped['steps']} steps run in {shipped['processes']} processes, {number(shipped['run_s'])} s "
        f"in all. With `in_process_executor`, the same {within['steps']} run in {within['processes']}, in "
        f"{number(within['run_s'])} s.",
        shipped["processes"] == shipped["steps"] > within["processes"] == 1 and shipped["run_s"] > within["run_s"],
    )


def backfill_floor(found: Results) -> Found:
    """Read the daemon's pause, and whether an instance can set it."""
    shipped = found.check("dagster_shipped")
    return Found(
        f"The daemon looks at its backfills every {shipped['interval_s']:g} s, a constant in its code. The settings "
        f"of an instance for backfills are {', '.join(f'`{name}`' for name in shipped['settings'])}: none is of that "
        "pause.",
        shipped["interval_s"] == 30 and not any("interval" in name for name in shipped["settings"]),
    )


def green_but_empty(found: Results) -> Found:
    """Read how runs of an asset with an empty table ended."""
    runs = found.check("dagster_empty")
    bare, checked, blocked = (runs[name] for name in ("without_check", "with_check", "with_blocking_check"))
    return Found(
        f"An asset whose table has {bare['rows']} rows: the run ends in {bare['run']}, with {bare['materializations']} "
        f"materialization. A check finds it, and the run still ends in {checked['run']}. With `blocking=True` the "
        f"run is {blocked['run']}, and the materialization is recorded all the same.",
        bare["run"] == checked["run"] == "success"
        and bare["rows"] == 0
        and bare["materializations"] == 1
        and checked["checks_failed"] == 1
        and blocked["run"] == "failed",
    )


def single_run(found: Results) -> Found:
    """Read what one bad month did to a range that is one run."""
    case = "one month has no file, one is refused once: "
    rows = {
        mode: found.answer("dynamic", case=f"{case}months", mode=mode)["dagster"] for mode in ("runs", "single_run")
    }
    failed = {mode: sum(state == "failed" for state in months.values()) for mode, months in rows.items()}
    return Found(
        f"Of {len(rows['runs'])} months, one without a file: {failed['runs']} fails when each month is a run, and "
        f"{failed['single_run']} when the range is one.",
        failed["single_run"] == len(rows["single_run"]) > failed["runs"] == 1,
    )


CLAIMS = (
    Claim(
        "dagster-run-start",
        "Dagster takes seconds to start a run.",
        circulates="issue trackers, answers on question-and-answer sites",
        verdict="true",
        meaning=(
            "A run waits in a queue, and is then a process of its own, which imports the project again. A flow "
            "run of Prefect on a process worker pays about the same."
        ),
        evidence=run_start,
        more=(question("events", "dagster"),),
    ),
    Claim(
        "dagster-step-process",
        "Dagster starts a process for each step.",
        circulates="issue trackers, the documentation",
        verdict="depends",
        meaning=(
            "It does as shipped, and the executor is one argument. Steps that are short and trust one another "
            "belong in one process."
        ),
        evidence=step_processes,
        check="dagster_steps",
    ),
    Claim(
        "dagster-backfill-floor",
        "A backfill of Dagster has a floor of 30 seconds.",
        circulates="issue trackers, community chats",
        verdict="true",
        meaning=(
            "As shipped, a backfill waits for the daemon's next look before its first run, and again before it is "
            "called done; the runs themselves do not wait. This project's lab runs a daemon with a shorter pause, and "
            "says so beside its figures."
        ),
        evidence=backfill_floor,
        check="dagster_shipped",
        more=("TRIPTYCH_AS_SHIPPED=all .venvs/lab/bin/triptych backfill 2024-01 --on dagster --schema folklore",),
    ),
    Claim(
        "dagster-green-empty",
        "In an asset-based orchestrator, a green run with an empty table is impossible.",
        circulates="conference talks, blog posts by vendors",
        verdict="false",
        meaning=(
            "A materialization says that a function returned, not what is in the table. What looks at the table "
            "is a check, and only one that blocks stops what comes next."
        ),
        evidence=green_but_empty,
        check="dagster_empty",
    ),
    Claim(
        "dagster-single-run",
        "A single-run backfill is the same backfill, only faster.",
        circulates="the documentation, community chats",
        verdict="false",
        meaning="The range becomes the unit of retry and of failure: a month without a file takes the others with it.",
        evidence=single_run,
        more=(question("dynamic", "dagster"),),
    ),
)
