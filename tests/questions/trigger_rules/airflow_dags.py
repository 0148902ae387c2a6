"""The DAG `trigger_rules`: three tasks that end as they are told, and after them a task for each trigger rule."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.questions.trigger_rules.pipelines import ENDS, RULES, UPSTREAMS


def end_as(told: str) -> None:
    if told == "failed":
        raise AirflowFailException("told to fail")
    if told == "skipped":
        raise AirflowSkipException("told to be skipped")


@dag(schedule=None, params={name: Param("success", enum=list(ENDS)) for name in UPSTREAMS})
def trigger_rules() -> None:
    @task(trigger_rule="all_done")
    def upstream(name: str, params: dict[str, Any]) -> None:
        end_as(params[name])

    # Each waits for the one before it, so that they end in this order.
    first, second, third = (upstream.override(task_id=name)(name) for name in UPSTREAMS)
    first >> second >> third
    for rule in RULES:
        [first, second, third] >> EmptyOperator(task_id=rule, trigger_rule=rule)


trigger_rules()
