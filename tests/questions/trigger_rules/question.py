"""Every trigger rule for every way in which three upstreams can end, one after the other: 13 x 27 rows.

expected.csv says what follows from Airflow's documentation of the rules and, where that is silent, from the code of
3.3.2 that decides (`airflow.ti_deps.deps.trigger_rule_dep`). It was written before anything was observed.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core.lab.protocol import TaskState
from tests.questions.asking import Answers, Asking, How, Question, Row
from tests.questions.trigger_rules.pipelines import RULES, UPSTREAMS

AT_A_TIME = 4
"""Runs at a time: a run is three short steps, one after the other, and leaves a core idle."""

NATIVE: Mapping[str, Collection[str]] = {
    "airflow": RULES,
    "dagster": ("all_success", "none_failed_min_one_success", "always"),
    "prefect": ("none_failed", "all_done", "always"),
}
"""The rules that an orchestrator has itself; the others are built of what it has."""

IN_TESTS = (
    ("success", "failed", "skipped"),
    ("skipped", "failed", "success"),
)
"""The ends of the runs that `make test` asks: the same ends in another order, on which one rule depends."""

ANSWERS: Mapping[TaskState, str] = {"success": "run"}
"""What the state of a rule's task means, where it has another word."""

Ends = tuple[str, ...]


def how(rule: str) -> dict[str, How]:
    """Return, by orchestrator, whether it has the rule itself."""
    return {name: "native" if rule in native else "emulated" for name, native in NATIVE.items()}


def rows() -> list[Row]:
    """Return a row for each rule and combination of ends, with what expected.csv says."""
    with (Path(__file__).parent / "expected.csv").open(newline="") as file:
        by_ends = {tuple(line[name] for name in UPSTREAMS): line for line in csv.DictReader(file)}
    return [
        Row({"rule": rule, "upstreams": list(ends)}, line[rule], how(rule), in_tests=ends in IN_TESTS)
        for rule in RULES
        for ends, line in by_ends.items()
    ]


def ask(asking: Asking, wanted: Sequence[Row]) -> Answers:
    """Start a run for each combination of ends, and look at the tasks of all rules in it."""

    def states_after(ends: Ends) -> dict[str, TaskState]:
        record = asking.run("trigger_rules", dict(zip(UPSTREAMS, ends, strict=True)))
        return {task.task: task.state for task in record.tasks}

    asked = list(dict.fromkeys(ends_of(row) for row in wanted))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = dict(zip(asked, pool.map(states_after, asked), strict=True))
    for row in wanted:
        state = found[ends_of(row)][row.key["rule"]]
        yield row, ANSWERS.get(state, state)


def ends_of(row: Row) -> Ends:
    """Return how the three upstreams of a row end."""
    return tuple(row.key["upstreams"])


QUESTION = Question(
    name="trigger_rules",
    title="When does a task run, by how the three tasks before it ended?",
    rows=rows(),
    ask=ask,
)
