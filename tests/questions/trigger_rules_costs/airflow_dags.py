"""The DAGs of the question: rules that need not wait for a slow upstream, and a clean-up after a failure."""

from __future__ import annotations

import time
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.questions.trigger_rules.pipelines import ENDS
from tests.questions.trigger_rules_costs.pipelines import EARLY, SLOW_S

PARAMS = {"quick": Param("success", enum=list(ENDS)), "seconds": Param(SLOW_S, type="integer", minimum=0)}


@task
def quick(params: dict[str, Any]) -> None:
    """End at once, as the run's parameters say."""
    if params["quick"] == "failed":
        raise AirflowFailException("told to fail")
    if params["quick"] == "skipped":
        raise AirflowSkipException("told to skip")


@task
def slow(params: dict[str, Any]) -> None:
    """Take the time that the run's parameters say."""
    time.sleep(params["seconds"])


@task
def work() -> None:
    """Fail."""
    raise AirflowFailException("told to fail")


@dag(schedule=None, params=PARAMS)
def early_rules() -> None:
    """Show which rules are decided before all upstreams have ended."""
    # Airflow passes the arguments when a task runs.
    upstreams = [quick(), slow()]  # type: ignore[call-arg]
    for rule in EARLY:
        upstreams >> EmptyOperator(task_id=rule, trigger_rule=rule)


@dag(schedule=None)
def cleanup_by_rule() -> None:
    """Clean up with a task that runs in any case: the run's state is that of its last tasks, so the failure is lost."""
    work() >> EmptyOperator(task_id="clean_up", trigger_rule="all_done")


@dag(schedule=None)
def cleanup_by_teardown() -> None:
    """Clean up with a teardown: it runs in any case too, and has no part in the run's state."""
    work() >> EmptyOperator(task_id="clean_up").as_teardown()


early_rules()
cleanup_by_rule()
cleanup_by_teardown()
