"""Values in Airflow: what a task returns is an XCom, in the metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, dag, task

from tests.questions.values.pipelines import KINDS
from tests.questions.values.samples import sample, verdict

if TYPE_CHECKING:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance as TaskInstance


@dag(schedule=None, params={"kind": Param("text", type="string", enum=[*KINDS]), "size": Param(5, type="integer")})
def values() -> None:
    """Hand a value from one task to two others."""

    @task(multiple_outputs=False)
    def produce(params: dict[str, Any]) -> Any:
        return sample(**params)

    @task
    def take(value: Any, params: dict[str, Any]) -> str:
        return verdict(**params, arrived=value)

    @task
    def pull(ti: TaskInstance, params: dict[str, Any]) -> str:
        return verdict(**params, arrived=ti.xcom_pull(task_ids="produce"))

    value = produce()  # type: ignore[call-arg]
    take(value)  # type: ignore[call-arg]
    value >> pull()  # type: ignore[call-arg]


values()
