"""Made-up results in the form of those that a benchmark writes: what a page shows before anything was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.harness.measure import Row
from benchmarks.orchestrators.role_meters import cpu_key, peak_key
from benchmarks.orchestrators.stages import STAGES, TASKS
from benchmarks.summary.data import CAPABILITIES, FILES, GUIDE, READMES
from core.settings import ROOT

ABOUT = {
    "machine": {"cpu": "any <processor>", "cores": 2, "ram_gb": 8, "system": "Linux", "load_average_at_start": 0.1},
    "versions": {"python": "3.11", "airflow": "3.3.2", "dagster": "1.13.27", "prefect": "3.9.1"},
    "measured_at": "2026-01-02T03:04:05+00:00",
}

TOOLS = ("airflow", "dagster", "prefect")

CLAIMS: list[dict[str, Any]] = [
    {"claim": "Airflow can't <pass> data", "where": "blog posts", "verdict": "false",
     "figure": "14 of 30 values arrive", "command": "triptych conformance values --on airflow"},
    {"claim": "A backfill has a floor of 30 s", "where": "talks", "verdict": "depends", "figure": "27.8 s",
     "command": "make bench-tools", "tools": ["dagster"]},
    {"claim": "Every tool parses a file at each run", "where": "forums", "verdict": "stale", "figure": "0",
     "command": "make bench-tools", "tools": ["airflow", "prefect"]},
]  # fmt: skip


def backfill(walls: dict[str, list[float]], **more: float) -> dict[str, Any]:
    """Return a backfill of 12 months, with these wall seconds of each round; `more` are values of every row."""
    rows: list[Row] = [
        {"orchestrator": name, "round": number, "months": 12, "turn": turn, "wall_s": wall_s, "cpu_s": 2 * wall_s,
         "peak_mb": 10 * wall_s, **more}
        for name, found in walls.items()
        for number, wall_s in enumerate(found, 1)
        for turn in ("start", "load", "unchanged")
    ]  # fmt: skip
    return {**ABOUT, "rows_a_month": 60_000, "rows": rows}


def with_months(content: dict[str, Any]) -> dict[str, Any]:
    """Return a backfill whose rows also have the roles, the metadata and the stages of a month."""
    names = list(dict.fromkeys(row["orchestrator"] for row in content["rows"]))
    return {
        **content,
        "rows": [{**row, **_month(row, 1.0 + names.index(row["orchestrator"]))} for row in content["rows"]],
    }


def _month(row: Row, factor: float) -> Row:
    has_services = row["orchestrator"] in TOOLS
    metadata = {"statements": 120 * row["round"], "metadata_kb": 1200.5, "metadata_rows": 36} if has_services else {}
    found: Row = {"statements": 0, "metadata_kb": 0.0, "metadata_rows": 0} | metadata
    if row["turn"] == "start":
        return found
    roles = ("scheduler", "API", "run", "database") if has_services else ("run", "database")
    found |= {cpu_key(role): factor * (place + row["round"]) for place, role in enumerate(roles)}
    found |= {peak_key(role): 100.0 * (place + row["round"]) for place, role in enumerate(roles)}
    tasks = {task: factor * row["round"] * (0.25 + place) for place, task in enumerate(TASKS)}
    spent = {stage: factor * (place + 0.5) / 8 for place, stage in enumerate(STAGES)} | {"steps": sum(tasks.values())}
    month = {"month": sum(spent.values()), **spent, **tasks}
    around = {"before_s": 0.5, "after_s": 0.25 * factor}
    return found | around | {f"{name}_s": value for name, value in month.items()} | {"medians": month}


def chains() -> dict[str, Any]:
    """Return chains of tasks in two classes of isolation, three rounds each, with a time line in one class."""
    isolations = {"process per task": ("airflow", "dagster", "make"), "in-process": ("prefect", "dagster", "python")}
    rows = [
        _chain(name, isolation, chain, tasks, number, 0.1 * (1 + place))
        for chain, tasks in (("light", 40), ("long", 10))
        for number in (1, 2, 3)
        for isolation, names in isolations.items()
        for place, name in enumerate(names)
    ]
    return {**ABOUT, "rows": rows}


def _chain(name: str, isolation: str, chain: str, tasks: int, number: int, task_s: float) -> Row:
    """Return a run whose tasks take `task_s` each, longer in later rounds: half of it assignment, a third execution."""
    each = task_s * (1 + 0.1 * number)
    timeline = [[round(1 + each * (task + part), 6) for part in (0.0, 1 / 2, 5 / 6)] for task in range(tasks)]
    assignment, execution = tasks * each / 2, tasks * each / 3
    transition = (tasks - 1) * each / 6
    row = {
        "orchestrator": name,
        "isolation": isolation,
        "chain": chain,
        "tasks": tasks,
        "round": number,
        "wall_s": 2.5 + assignment + execution + transition,
        "run_s": 1.5 + assignment + execution + transition,
        "before_s": 1.0,
        "assignment_s": assignment,
        "execution_s": execution,
        "transition_s": transition,
        "after_s": 0.5,
    }
    return {**row, "timeline": timeline} if isolation == "process per task" else row


def floor() -> dict[str, Any]:
    """Return what empty steps cost, as shipped and as tuned, and without one setting."""
    settings = {"shipped": 3.0, "tuned": 1.0, "without poll <1 s>": 2.0}
    rows = [
        {"orchestrator": name, "settings": words, "months": months, "round": number,
         "wall_s": factor * months + number / 10, "cpu_s": factor * months / 2}
        for months in (1, 12)
        for number in (1, 2, 3)
        for name in TOOLS
        for words, factor in settings.items()
    ]  # fmt: skip
    alone = {"name": "airflow.poll", "value": "<1 s>", "shipped": "5 s"}
    return {**ABOUT, "settings": [alone], "rows": rows}


def drills() -> dict[str, Any]:
    """Return drills with every outcome, on one that is not known here too, whose name needs escaping."""
    fine = {"settings": "expert", "killed": "step", "signal": "SIGKILL", "phase": "load", "noticed_s": 3.5,
            "recovered_s": 12.5, "attempts": 2, "orphan_wrote": False, "stuck": 0, "needed_hand": None,
            "tables_identical": True, "partial_reads": 0, "looks": 9, "saw": [], "months": 6,
            "seconds": 40.0}  # fmt: skip
    unlike: list[Row] = [
        {"tool": "airflow"},
        {"tool": "airflow", "signal": "SIGSTOP", "orphan_wrote": True},
        {"tool": "dagster", "phase": "dbt", "recovered_s": None},
        {"tool": "dagster", "settings": "defaults", "killed": "daemon", "stuck": 2},
        {"tool": "prefect", "noticed_s": None, "recovered_s": None, "needed_hand": "the command was interrupted"},
        {"tool": "<scheduler>", "killed": "database", "partial_reads": 1, "saw": ["half a month"]},
        {"tool": "airflow", "settings": "usual", "killed": "above", "tables_identical": False, "lost_rows": 7,
         "extra_rows": 400, "lost_rows_again": 7, "extra_rows_again": 5},
    ]  # fmt: skip
    return {**ABOUT, "undisturbed": {"lost": 7, "extra": 0}, "rows": [{**fine, **each} for each in unlike]}


def write(root: Path, **results: dict[str, Any]) -> Path:
    """Write results by name where `benchmarks.summary.data` looks for them below `root`."""
    for name, content in results.items():
        path = root / FILES.get(name, f"{GUIDE}/{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def with_published(root: Path) -> Path:
    """Copy the published results below `root`, and make up those that were not published yet."""
    guide = (f"{GUIDE}/{each.name}" for each in (ROOT / GUIDE).glob("*.json"))
    for path in [*FILES.values(), CAPABILITIES, *READMES.values(), *guide]:
        if (ROOT / path).exists():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, root / path)
    backfilled = json.loads((root / FILES["backfill"]).read_text())
    if not any("month_s" in row for row in backfilled["rows"]):
        write(root, backfill=with_months(backfilled))
    made_up = {"chains": chains, "floor": floor, "drills": drills}
    return write(root, **{name: make() for name, make in made_up.items() if not (root / FILES[name]).exists()})
