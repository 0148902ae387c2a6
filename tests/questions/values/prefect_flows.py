"""Values in Prefect: tasks of one run share memory; what is persisted is a pickle in the result storage."""

from __future__ import annotations

from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.results import get_result_store

from tests.questions.values.samples import sample, verdict

KEY = "{flow_run.id}-produced"


@task(persist_result=True, result_storage_key=KEY)
def produce(kind: str, size: int) -> Any:
    """Return the value: it stays in memory, and is stored under a key."""
    return sample(kind, size)


@task
def take(kind: str, size: int, value: Any) -> None:
    """Take the value from memory."""
    create_markdown_artifact(verdict(kind, size, value))


@task
def pull(kind: str, size: int, key: str) -> None:
    """Read the value from the result storage."""
    create_markdown_artifact(verdict(kind, size, get_result_store().read(key).result))


@flow
def values(kind: str = "text", size: int = 5) -> None:
    """Hand a value from one task to two others."""
    value = produce(kind, size)
    take(kind, size, value)
    pull(kind, size, KEY.format(flow_run=runtime.flow_run))


deployments = [values.to_deployment("triptych")]
