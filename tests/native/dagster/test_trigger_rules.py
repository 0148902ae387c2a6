"""The trigger rules of Airflow that are built of what Dagster has (`tests.questions.trigger_rules.dagster_rules`)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from core.settings import ROOT
from tests.questions.trigger_rules import dagster_rules
from tests.questions.trigger_rules.dagster_defs import trigger_rules
from tests.questions.trigger_rules.dagster_rules import Skip, State, after, fail_if_any_failed, reporting
from tests.questions.trigger_rules.pipelines import RULES, UPSTREAMS

with (ROOT / "tests" / "questions" / "trigger_rules" / "expected.csv").open(newline="") as file:
    EXPECTED = {tuple(line[name] for name in UPSTREAMS): line for line in csv.DictReader(file)}

CASES = [(rule, ends, line[rule]) for rule in RULES for ends, line in EXPECTED.items()]

WORDS = {"STEP_SUCCESS": "run", "STEP_SKIPPED": "skipped"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def ended(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return how each step of a run ended. One that could not run has no event, and is missing."""
    words = {**WORDS, "STEP_FAILURE": "failed"}
    return {str(e.step_key): words[e.event_type_value] for e in result.all_events if e.event_type_value in words}


def order_decides(rule: str, ends: tuple[str, ...]) -> bool:
    """Return whether Airflow skips the task because a skipped upstream ended before a failed one."""
    return rule == "all_success" and {"skipped", "failed"} <= set(ends) and ends.index("skipped") < ends.index("failed")


@pytest.mark.parametrize(("rule", "ends", "expected"), CASES)
def test_a_rule_says_what_airflow_does(rule: str, ends: tuple[State, ...], expected: str) -> None:
    if order_decides(rule, ends):
        assert expected == "skipped"
        expected = "upstream failed"
    assert dagster_rules.verdict_of(rule, ends) == expected


def test_each_rule_has_a_verdict_on_every_combination() -> None:
    assert set(dagster_rules.RULES) == set(RULES)
    assert len(CASES) == 13 * 27


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(KeyError, match="no_such_rule"):
        dagster_rules.verdict_of("no_such_rule", ["success"])


def reports(name: str, error: Exception | None = None, **settings: Any) -> dg.OpDefinition:
    """Return an op that ends with this error, or well."""

    @reporting(name, **settings)
    def end(_context: dg.OpExecutionContext) -> None:
        if error:
            raise error

    return end


@dg.op(ins={"start": dg.In(dg.Nothing)})
def last() -> None: ...


def job_of(rule: str, *upstreams: dg.OpDefinition) -> dg.JobDefinition:
    """Return a job in which `last` follows the upstreams under a rule."""

    @dg.job(executor_def=dg.in_process_executor)
    def made() -> None:
        ends = [upstream() for upstream in upstreams]
        last(after(rule, ends))
        fail_if_any_failed(ends)

    return made


def run(job: dg.JobDefinition, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return job.execute_in_process(instance=instance, raise_on_error=False)


FAILS, SKIPS = RuntimeError("no file"), Skip("nothing to do")


@pytest.mark.parametrize(
    ("rule", "error", "state", "success"),
    [
        ("all_done", None, "run", True),
        ("one_failed", None, "skipped", True),
        ("one_failed", FAILS, "run", False),
        ("none_skipped", SKIPS, "skipped", True),
        ("none_failed", FAILS, None, False),
    ],
)
def test_dagster_shows_what_a_rule_says(
    rule: str, error: Exception | None, state: str | None, success: bool, instance: dg.DagsterInstance
) -> None:
    result = run(job_of(rule, reports("one", error), reports("two")), instance)
    assert (ended(result).get("last"), result.success) == (state, success)


def failure_of(result: dg.ExecuteInProcessResult, step: str) -> str | None:
    """Return the description of a step's `dg.Failure`."""
    data = next(e.step_failure_data for e in result.get_step_failure_events() if e.step_key == step)
    return data.user_failure_data.description if data.user_failure_data else None


def test_a_failure_names_the_steps(instance: dg.DagsterInstance) -> None:
    result = run(job_of("none_failed", reports("one", FAILS), reports("two", SKIPS)), instance)
    assert failure_of(result, "none_failed_gate") == "none_failed: one: failed, two: skipped"
    assert failure_of(result, "fail_if_any_failed") == "one: failed"


def test_a_reporting_step_is_a_success_with_its_end_as_metadata(instance: dg.DagsterInstance) -> None:
    result = run(job_of("all_done", reports("one", FAILS), reports("two", SKIPS)), instance)
    assert (ended(result)["one"], ended(result)["two"]) == ("run", "run")
    outputs = [e.step_output_data for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    ends = [data.metadata["end"].value for data in outputs if "end" in data.metadata]
    assert ends == ["failed", "skipped"]


def flaky(failures: int) -> Callable[[dg.OpExecutionContext], None]:
    """Return a function that raises this often."""
    left = [FAILS] * failures

    def flaky_step(_context: dg.OpExecutionContext) -> None:
        if left:
            raise left.pop()

    return flaky_step


@pytest.mark.parametrize(("failures", "attempts", "success"), [(0, 1, True), (2, 3, True), (3, 3, False)])
def test_a_reporting_step_is_retried(failures: int, attempts: int, success: bool, instance: dg.DagsterInstance) -> None:
    result = run(job_of("all_done", reporting(retries=2)(flaky(failures))), instance)
    assert result.retry_attempts_for_node("flaky_step") == attempts - 1
    assert result.success is success


def test_a_retry_policy_does_not_see_that_a_reporting_step_failed(instance: dg.DagsterInstance) -> None:
    policy = dg.RetryPolicy(max_retries=2)
    result = run(job_of("all_done", reports("one", FAILS, retry_policy=policy)), instance)
    assert result.retry_attempts_for_node("one") == 0


@pytest.mark.parametrize(
    "ends", [("skipped", "failed", "success"), ("success", "skipped", "success"), ("skipped", "skipped", "skipped")]
)
def test_the_job_of_the_question_ends_in_order_and_follows_every_rule(
    ends: tuple[str, ...], instance: dg.DagsterInstance
) -> None:
    told = dict(zip(UPSTREAMS, ends, strict=True))
    result = trigger_rules.execute_in_process(run_config=told, instance=instance, raise_on_error=False)
    found = ended(result)
    for prefix in ("", "native_"):
        assert [name for name in found if name in {prefix + each for each in UPSTREAMS}] == [
            prefix + each for each in UPSTREAMS
        ]
    assert {rule: found.get(rule, "upstream failed") for rule in RULES} == {r: EXPECTED[ends][r] for r in RULES}
