"""A shell command in a task of Airflow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from airflow.sdk import dag, task

PROGRAM = f"{sys.executable} -m tests.conformance.canceled_subprocess.program"


@dag(schedule=None, params={"name": ""})
def canceled_subprocess() -> None:
    """Run a program in a shell, and wait for its end."""

    @task
    def build(params: dict[str, Any]) -> None:
        subprocess.run(f"{PROGRAM} {params['name']} && echo built", shell=True, check=True)

    build()  # type: ignore[call-arg]


canceled_subprocess()
