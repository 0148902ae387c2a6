"""What is shown of a failure, and which rules are decided before all upstreams have ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from core.lab.protocol import RunRecord, TaskRecord
from tests.questions.asking import Answers, Asking, Question, Row

SHOWN, EARLY = "shown as", "decided while an upstream still runs"

Start = tuple[str, Mapping[str, str]]
"""A pipeline and its parameters: rows with the same ones share a run."""


def task_of(record: RunRecord, name: str) -> TaskRecord:
    """Return the record of a task."""
    return next(task for task in record.tasks if task.task == name)


def state_of(name: str) -> Callable[[RunRecord], str]:
    """Return what reads the state of a task."""
    return lambda record: task_of(record, name).state


def is_early(rule: str) -> Callable[[RunRecord], bool]:
    """Return what reads whether the rule's task ended, run or not, before the slow upstream did."""
    return lambda record: end_of(record, rule) < end_of(record, "slow")


def end_of(record: RunRecord, name: str) -> dt.datetime:
    """Return when a task ended."""
    return dt.datetime.fromisoformat(str(task_of(record, name).ended_at))


def is_run_as(record: RunRecord) -> str:
    """Return the state of the run itself."""
    return record.state


CASES: Sequence[tuple[str, str, str | bool, Start, Callable[[RunRecord], str | bool]]] = [
    (SHOWN, "an upstream that failed", "failed", ("trigger_rules", {"first": "failed"}), state_of("first")),
    (SHOWN, "an upstream that was skipped", "skipped", ("trigger_rules", {"first": "skipped"}), state_of("first")),
    (SHOWN, "a run that failed and cleaned up with all_done", "failed", ("cleanup_by_rule", {}), is_run_as),
    (SHOWN, "a run that failed and cleaned up with a teardown", "failed", ("cleanup_by_teardown", {}), is_run_as),
    (EARLY, "one_success, after a success", True, ("early_rules", {"quick": "success"}), is_early("one_success")),
    (EARLY, "one_done, after a success", True, ("early_rules", {"quick": "success"}), is_early("one_done")),
    (EARLY, "one_failed, after a failure", True, ("early_rules", {"quick": "failed"}), is_early("one_failed")),
    (EARLY, "one_done, after a failure", True, ("early_rules", {"quick": "failed"}), is_early("one_done")),
    (EARLY, "all_success, after a failure", True, ("early_rules", {"quick": "failed"}), is_early("all_success")),
    (EARLY, "all_done, after a failure", False, ("early_rules", {"quick": "failed"}), is_early("all_done")),
]
"""What is asked, of what, the right answer, the run that shows it, and how it is read from that run's record."""


def ask(asking: Asking, wanted: Sequence[Row]) -> Answers:
    """Start each run that the rows need once, all of them at the same time."""
    cases = {(what, of): (start, read) for what, of, _, start, read in CASES}
    starts = {str(start): start for start, _ in (cases[key_of(row)] for row in wanted)}
    with ThreadPoolExecutor(4) as pool:
        records = dict(zip(starts, pool.map(lambda start: asking.run(*start), starts.values()), strict=True))
    for row in wanted:
        start, read = cases[key_of(row)]
        yield row, read(records[str(start)])


def key_of(row: Row) -> tuple[str, str]:
    """Return what tells a row from the others."""
    return row.key["what"], row.key["of"]


QUESTION = Question(
    name="trigger_rules_costs",
    title="What is shown of a failure, and which rules are decided early?",
    rows=[Row({"what": what, "of": of}, expected, in_tests=True) for what, of, expected, _, _ in CASES],
    ask=ask,
    on=("airflow",),
)
