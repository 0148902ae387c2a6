"""How long it takes until an edited pipeline file is seen: the file of a further pipeline, in a copy of the subjects.

Two edits, each of the file as an editor saves it, while the services run and nothing else is asked of them:

    constant   the constant that a task returns is another one
    task       the pipeline has a second task
    restart    the same, and the process that serves the code is restarted at once: only where `task` was not seen

After the edit, runs are started one after the other until one of them shows it. ``seen_s`` is from the edit to the
start of the task that shows it, and ``start_s`` to that of its run: Airflow adds a task to a run that is under way.
``runs`` is how many were started.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.harness.measure import Row
from benchmarks.orchestrators import chains, place, subjects
from benchmarks.orchestrators.shapes import EDITED
from core.lab.protocol import RunRecord, TaskRecord
from core.lab.protocol.further import VARIABLE as PIPELINES
from core.lab.runs import Runs
from core.settings import Settings

PACKAGE = "copied_subjects"
"""What the copy is called, so that nothing takes it for the original."""

FILES = {"airflow": "airflow_dags.py", "dagster": "dagster_defs.py", "prefect": "prefect_flows.py"}

SECOND = {
    "airflow": 'step.override(task_id="second")()',
    "dagster": 'step.alias("second")()',
    "prefect": 'step.with_options(name="second")()',
}
"""The call of a second task, in the body of each orchestrator's pipeline."""

WRITTEN, EDIT = "as written", "as edited"

CALL = "    step()\n"

MOST_S = 45.0
"""How long an edit may take to be seen: longer than every interval that the adapters set or leave as shipped."""


def copied(at: Settings) -> Settings:
    """Copy the subjects, so that no file of the checkout is edited; return the settings that load the copy."""
    folder = at.home.parent / "code"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(subjects.__path__[0]), folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    return place.passing_on(at, {PIPELINES: PACKAGE, "PYTHONPATH": str(folder)})


def file_of(at: Settings, orchestrator: str) -> Path:
    """Return the file of the pipeline that is edited."""
    return at.home.parent / "code" / PACKAGE / EDITED.name / FILES[orchestrator]


def constant(text: str, _: str) -> str:
    """Return the file with another constant."""
    return text.replace(WRITTEN, EDIT)


def second_task(text: str, orchestrator: str) -> str:
    """Return the file with a second task in its pipeline; one that has it already stays as it is."""
    second = f"    {SECOND[orchestrator]}\n"
    return text if second in text else text.replace(CALL, CALL + second)


def shows_constant(run: RunRecord) -> TaskRecord | None:
    """Return the task that returned the new constant."""
    return next((task for task in run.tasks if EDIT in str(task.returned)), None)


def shows_task(run: RunRecord) -> TaskRecord | None:
    """Return the second task, if it ran."""
    return next((task for task in run.tasks if task.task == "second" and task.state == "success"), None)


def restart(runs: Runs) -> None:
    """End the processes that serve the code: the lab starts each of them again."""
    for each in runs.processes():
        if each.record.role == "code server":
            psutil.Process(each.record.pid).terminate()


CONSTANT, TASK, RESTART = "constant", "task", "restart"

EDITS: dict[str, tuple[Callable[[str, str], str], Callable[[RunRecord], TaskRecord | None]]] = {
    CONSTANT: (constant, shows_constant), TASK: (second_task, shows_task), RESTART: (second_task, shows_task),
}  # fmt: skip
"""What each edit does, and how a run shows it."""


def edit(runs: Runs, path: Path, what: str, deadline_s: float) -> Row:
    """Edit a pipeline's file, and start runs until one shows it."""
    change, shows = EDITS[what]
    path.write_text(change(path.read_text(), runs.orchestrator.name))
    if what == RESTART:
        restart(runs)
    saved, count, row = time.time(), 0, {"what": "edit", "edit": what}
    while time.time() - saved < deadline_s:
        count += 1
        record = runs.observe(EDITED.name, runs.start(EDITED.name, {}), wait_s=deadline_s)
        if task := shows(record):
            starts = {"seen_s": task.started_at, "start_s": record.started_at}
            since = {name: round(chains.instant(start) - saved, 3) for name, start in starts.items()}
            return {**row, "state": "ended", **since, "runs": count}
    return {**row, "state": "not ended", "seen_s": None, "runs": count, "deadline_s": deadline_s}
