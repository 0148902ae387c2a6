"""The DAG `trigger_rules`: three tasks that end as they are told, and after them a task for each trigger rule."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, chain, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.questions.trigger_rules.pipelines import ENDS, RULES, UPSTREAMS

PARAMS = {name: Param("success", type="string", enum=list(ENDS)) for name in UPSTREAMS}
"""How each of the three upstreams ends."""

TOLD = [f"{{{{ params.{name} }}}}" for name in UPSTREAMS]
"""These params as templates, which Airflow renders for each run."""


@task(trigger_rule="all_done")
def end_as(told: str) -> None:
    """End as the run's parameters say, however the task before ended."""
    if told == "failed":
        raise AirflowFailException("told to fail")
    if told == "skipped":
        raise AirflowSkipException("told to skip")


@dag(schedule=None, params=PARAMS)
def trigger_rules() -> None:
    """Show when each of Airflow's trigger rules lets a task run."""
    upstreams = [end_as.override(task_id=name)(told) for name, told in zip(UPSTREAMS, TOLD, strict=True)]
    # Each waits for the one before it, so that they end in this order.
    chain(*upstreams)
    for rule in RULES:
        if rule != "all_done_setup_success":
            upstreams >> EmptyOperator(task_id=rule, trigger_rule=rule)

    # The rule of a teardown: of its upstreams it counts the setups, which no task with another rule may follow.
    setups = [end_as.override(task_id=f"setup_{name}")(told) for name, told in zip(UPSTREAMS, TOLD, strict=True)]
    [each.as_setup() for each in setups] >> EmptyOperator(task_id="all_done_setup_success").as_teardown()


trigger_rules()
