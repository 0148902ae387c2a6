"""Run a job of three steps under the executor that Dagster ships with and in one process; count the processes.

Runs in Dagster's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

PIDS = "FOLKLORE_PIDS"


def step() -> int:
    """Record the process that runs a step."""
    with Path(os.environ[PIDS]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return 0


@dg.op
def one() -> int:
    return step()


@dg.op
def two(before: int) -> int:
    return step()


@dg.op
def three(before: int) -> int:
    return step()


@dg.job
def as_shipped() -> None:
    three(two(one()))


@dg.job(executor_def=dg.in_process_executor)
def in_process() -> None:
    three(two(one()))


def run(job: Any, instance: dg.DagsterInstance) -> dict[str, Any]:
    """Run a job; return how many steps it has, in how many processes they ran, and the seconds of the run."""
    path = Path(os.environ[PIDS])
    path.unlink(missing_ok=True)
    began = time.perf_counter()
    done = dg.execute_job(dg.reconstructable(job), instance=instance, raise_on_error=True)
    assert done.success
    pids = path.read_text().split()
    return {"steps": len(pids), "processes": len(set(pids)), "run_s": round(time.perf_counter() - began, 2)}


def main() -> None:
    """Print what was found."""
    with tempfile.TemporaryDirectory() as folder:
        # Before the instance starts any process
        os.environ[PIDS] = str(Path(folder) / "pids")
        with dg.DagsterInstance.local_temp(overrides={"telemetry": {"enabled": False}}) as instance:
            found = {job.name: run(job, instance) for job in (in_process, as_shipped)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
