"""The case: a run whose task runs a program is canceled, and the program ends."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from itertools import count

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S, happens
from tests.contract.bench import is_alive
from tests.questions.asking import Asking

PIPELINE = "canceled_subprocess"

WITHIN_S = 30.0
"""How long the program may live on after the cancellation."""

NUMBERS = count(1)


def observe(asking: Asking) -> Observed:
    """Cancel the run while its program works, and return how the run ended, and what of the program was left."""
    name = f"conformance-{asking.orchestrator}-{next(NUMBERS)}"
    run_id = asking.runs.start(PIPELINE, {"name": name})
    pid = until(lambda: backend(asking, name), PATIENCE_S, POLL_S, "the program")
    asking.runs.cancel(PIPELINE, run_id)
    try:
        is_gone = happens(lambda: not is_alive(pid), WITHIN_S, "the end of the program")
        is_released = happens(lambda: backend(asking, name) is None, 1 if not is_gone else 5, "the end of its backend")
        run = asking.runs.observe(PIPELINE, run_id, PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return {"run": run.state, "program": "ended" if is_gone else "alive", "its backend": not is_released}


def backend(asking: Asking, name: str) -> int | None:
    """Return the process of the program that has a connection under this name."""
    with asking.bench.connect() as connection:
        query = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s"
        row = connection.execute(query, [f"triptych pid=% {name}"]).fetchone()
    found = re.search(r"pid=(\d+)", str(row[0])) if row else None
    return int(found[1]) if found else None


CASE = Case(
    question="Does the program that a task has started in a shell end when its run is canceled?",
    theme="Cancellation",
    report="PrefectHQ/prefect#20979",
    right=lambda observed: observed == {"run": "canceled", "program": "ended", "its backend": False},
    right_answer="30 s after the cancellation there is no process of it, and no backend of its connection.",
    expected={
        "airflow": Expected("right", "The signal goes to the process group of the task, and the program is in it."),
        "dagster": Expected(
            "wrong", "The run's process is interrupted: Python then kills the shell, and not its child."
        ),
        "prefect": Expected(
            "right", "The worker starts a run in a process group of its own, and ends the whole group."
        ),
    },
    observe=observe,
    differs="The report is of Prefect 3.6.20, and starts its shell with the block `ShellOperation`.",
)
