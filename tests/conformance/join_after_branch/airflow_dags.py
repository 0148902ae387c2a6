"""A join after a branch in Airflow: a trigger rule says which ends of its upstreams it needs."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task

JOINS = "none_failed_min_one_success"


@dag(schedule=None)
def join_after_branch() -> None:
    """Choose the second branch, and there the dead end."""

    @task.branch
    def first() -> str:
        return "second"

    @task.branch
    def second() -> str:
        return "dead_end"

    begin, then = first(), second()
    work, buffer = EmptyOperator(task_id="work"), EmptyOperator(task_id="buffer")
    begin >> [then, buffer]
    then >> [EmptyOperator(task_id="dead_end"), work]
    [begin, work] >> EmptyOperator(task_id="join", trigger_rule=JOINS)
    [buffer, work] >> EmptyOperator(task_id="buffered_join", trigger_rule=JOINS)


join_after_branch()
