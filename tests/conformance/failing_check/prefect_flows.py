"""A data test in Prefect: a task that raises, and an event that the flow emits after it."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger, emit_event

from tests.conformance.failing_check.pipelines import BAD

STAGING = "triptych.failing_check.staging"


@task(cache_policy=NO_CACHE)
def checked_staging(month: str) -> str:
    """Load a month."""
    return month


@task(cache_policy=NO_CACHE)
def check_rows(month: str) -> None:
    """Test the month that was loaded."""
    if month == BAD:
        raise ValueError("a test failed")


@flow(name="failing_check_load")
def failing_check_load(month: str) -> None:
    """Load a month, test it, and say so."""
    check_rows(checked_staging(month))
    emit_event("failing_check.tested", resource={"prefect.resource.id": f"{STAGING}.{month}"})


@task(cache_policy=NO_CACHE)
def checked_mart(month: str) -> str:
    """Rebuild the mart of a month."""
    return month


@flow(name="failing_check_build")
def failing_check_build(month: str) -> None:
    """Rebuild the mart of the month that was loaded."""
    checked_mart(month)


TESTED = DeploymentEventTrigger(
    expect={"failing_check.tested"},
    parameters={"month": "{{ event.resource.id.split('.') | last }}"},
)

deployments = [
    failing_check_load.to_deployment("triptych"),
    failing_check_build.to_deployment("triptych", triggers=[TESTED]),
]
