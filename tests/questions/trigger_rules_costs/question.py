"""What is shown of a failure, and which rules are decided before all upstreams have ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.lab.protocol import RunRecord, TaskRecord
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.trigger_rules.question import AT_A_TIME

SHOWN, EARLY = "shown as", "decided while an upstream still runs"


@dataclass(frozen=True)
class Case:
    """One row: what is asked, of what, the right answer, a run that shows it, and how it is read from its record."""

    what: str
    of: str
    expected: str | bool
    pipeline: str
    parameters: Mapping[str, str]
    read: Callable[[RunRecord], str | bool]

    @property
    def run(self) -> str:
        """Tell its run from others: cases of the same run share it."""
        return f"{self.pipeline} {dict(self.parameters)}"


def task_of(record: RunRecord, name: str) -> TaskRecord:
    """Return the record of a task."""
    return next(task for task in record.tasks if task.task == name)


def end_of(record: RunRecord, name: str) -> dt.datetime:
    """Return when a task ended."""
    return dt.datetime.fromisoformat(str(task_of(record, name).ended_at))


def of_first(record: RunRecord) -> str:
    """Return the state of the first upstream."""
    return task_of(record, "first").state


def of_run(record: RunRecord) -> str:
    """Return the state of the run itself."""
    return record.state


def early(rule: str) -> Callable[[RunRecord], bool]:
    """Return what reads whether the rule's task ended, run or not, before the slow upstream did."""
    return lambda record: end_of(record, rule) < end_of(record, "slow")


CASES = [
    Case(SHOWN, "a failed upstream", "failed", "trigger_rules", {"first": "failed"}, of_first),
    Case(SHOWN, "a skipped upstream", "skipped", "trigger_rules", {"first": "skipped"}, of_first),
    Case(SHOWN, "a run: failure, then a clean-up with all_done", "failed", "cleanup_by_rule", {}, of_run),
    Case(SHOWN, "a run: failure, then a teardown", "failed", "cleanup_by_teardown", {}, of_run),
    Case(SHOWN, "a run: failure, skip, then all_success", "failed", "mixed_ends", {"earlier": "failed"}, of_run),
    Case(SHOWN, "a run: skip, failure, then all_success", "failed", "mixed_ends", {"earlier": "skipped"}, of_run),
    Case(EARLY, "one_success, after a success", True, "early_rules", {"quick": "success"}, early("one_success")),
    Case(EARLY, "one_done, after a success", True, "early_rules", {"quick": "success"}, early("one_done")),
    Case(EARLY, "one_failed, after a failure", True, "early_rules", {"quick": "failed"}, early("one_failed")),
    Case(EARLY, "one_done, after a failure", True, "early_rules", {"quick": "failed"}, early("one_done")),
    Case(EARLY, "all_success, after a failure", True, "early_rules", {"quick": "failed"}, early("all_success")),
    Case(EARLY, "all_done, after a failure", False, "early_rules", {"quick": "failed"}, early("all_done")),
]


def ask(asking: Asking, wanted: Sequence[Row]) -> Answers:
    """Start each run that the rows need once, some of them at the same time."""
    cases = [next(case for case in CASES if (case.what, case.of) == tuple(row.key.values())) for row in wanted]
    runs = {case.run: case for case in cases}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = pool.map(lambda case: asking.run(case.pipeline, case.parameters), runs.values())
        records = dict(zip(runs, found, strict=True))
    for row, case in zip(wanted, cases, strict=True):
        yield row, case.read(records[case.run])


QUESTION = Question(
    name="trigger_rules_costs",
    title="What is shown of a failure, and which rules are decided early?",
    rows=[Row({"what": case.what, "of": case.of}, case.expected, in_tests=case.run == CASES[-1].run) for case in CASES],
    ask=ask,
    on=("airflow", "dagster", "prefect"),
)
