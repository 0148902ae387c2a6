"""The DAGs of the question: rules that need not wait for a slow upstream, and failures that a run's state hides."""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.questions.trigger_rules.pipelines import ENDS
from tests.questions.trigger_rules_costs.pipelines import EARLY, MIXED, SLOW_S


@task
def end_as(told: str) -> None:
    """End at once, as told."""
    if told == "failed":
        raise AirflowFailException("told to fail")
    if told == "skipped":
        raise AirflowSkipException("told to skip")


@task
def slow(params: dict[str, Any]) -> None:
    """Take the time that the run's parameters say."""
    time.sleep(params["seconds"])


@dag(
    schedule=None,
    params={"quick": Param("success", enum=list(ENDS)), "seconds": Param(SLOW_S, type="integer", minimum=0)},
)
def early_rules() -> None:
    """Show which rules are decided before all upstreams have ended."""
    # Airflow passes the argument when the task runs.
    upstreams = [end_as.override(task_id="quick")("{{ params.quick }}"), slow()]  # type: ignore[call-arg, misc]
    for rule in EARLY:
        upstreams >> EmptyOperator(task_id=rule, trigger_rule=rule)


@dag(schedule=None, params={"earlier": Param(MIXED[0], enum=list(MIXED))})
def mixed_ends() -> None:
    """Let one upstream of a task with the default rule be skipped, and the other one fail, in either order."""
    earlier = end_as.override(task_id="earlier")("{{ params.earlier }}")
    other = "{{ 'failed' if params.earlier == 'skipped' else 'skipped' }}"
    later = end_as.override(task_id="later", trigger_rule="all_done")(other)
    earlier >> later
    [earlier, later] >> EmptyOperator(task_id="last")


@dag(schedule=None)
def cleanup_by_rule() -> None:
    """Clean up with a task that runs in any case: the run's state is that of its last tasks, so the failure is lost."""
    end_as.override(task_id="work")("failed") >> EmptyOperator(task_id="clean_up", trigger_rule="all_done")


@dag(schedule=None)
def cleanup_by_teardown() -> None:
    """Clean up with a teardown: it runs in any case too, and has no part in the run's state."""
    end_as.override(task_id="work")("failed") >> EmptyOperator(task_id="clean_up").as_teardown()


early_rules()
mixed_ends()
cleanup_by_rule()
cleanup_by_teardown()
