"""A month without rows in Prefect: two tasks, one after the other."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tests.conformance.empty_month import steps


@task(cache_policy=NO_CACHE)
def load(source: str, tables: str, month: str, accept: bool) -> dict[str, Any]:
    """Load a month."""
    return steps.load(source, tables, month, accept)


@task(cache_policy=NO_CACHE)
def build(source: str, tables: str, month: str) -> None:
    """Build its models."""
    steps.build(source, tables, month)


@flow(name="empty_month")
def empty_month(source: str, tables: str, month: str, accept: bool = False) -> None:
    """Load a month, and build its models."""
    load(source, tables, month, accept)
    build(source, tables, month)


deployments = [empty_month.to_deployment("triptych")]
