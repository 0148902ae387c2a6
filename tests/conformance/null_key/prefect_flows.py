"""A load and its model in Prefect: a task publishes the month, and another one runs dbt."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tests.conformance.null_key import work


@task(cache_policy=NO_CACHE)
def published(schema: str, version: str) -> None:
    """Publish a version of the month."""
    work.publish(schema, version)


@task(cache_policy=NO_CACHE)
def built(schema: str) -> None:
    """Build the model."""
    work.build(schema)


@flow(name="null_key", validate_parameters=False)
def null_key(schema: str, version: str) -> None:
    """Publish a version of the month, and build the model."""
    published(schema, version)
    built(schema)


deployments = [null_key.to_deployment("triptych")]
