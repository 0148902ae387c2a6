"""Dependencies between Prefect's flows: one runs a deployment, one looks for another's run, or an automation reacts."""

from __future__ import annotations

import datetime as dt

from prefect import State, flow, get_client, runtime, task
from prefect.assets import materialize
from prefect.client.schemas.filters import FlowFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import arun_deployment, run_deployment
from prefect.events import DeploymentEventTrigger
from prefect.states import AwaitingRetry, Completed

from core.waiting import until
from tests.questions.dependencies import work

PUBLISHED = "triptych://dependencies/published_month"

EACH = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{PUBLISHED}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)


@materialize(PUBLISHED)
def published_month(month: str) -> None:
    """Publish the month; when this returns, Prefect emits an event of the asset."""
    work.publish(month)


@task
def build(month: str) -> None:
    """Build the month."""
    work.build(str(runtime.flow_run.flow_name), month)


@flow(name="publish_month")
def publish_month(month: str) -> None:
    """Publish a month; push the downstream flow that is told."""
    published_month.with_options(assets=[f"{PUBLISHED}/{month}"])(month)
    # A run that lives apart from this one, which does not wait for it.
    run_deployment("build_when_told/triptych", parameters={"month": month}, timeout=0, as_subflow=False)


@flow(name="build_when_told")
def build_when_told(month: str) -> None:
    """Push: build as soon as the upstream flow runs this one's deployment."""
    build(month)


@task
async def call(month: str) -> None:
    """Run the upstream deployment, and wait for its end in this process."""
    run = await arun_deployment("publish_month/triptych", parameters={"month": month}, poll_interval=1)
    # A run that has failed is returned like any other.
    if not (run.state and run.state.is_completed()):
        raise RuntimeError(f"{run.name} did not publish {month}: {run.state}")


@flow(name="build_after_call")
async def build_after_call(month: str) -> None:
    """Call: run the upstream flow, and build when it has succeeded."""
    await call(month)
    build(month)


def is_published(month: str) -> bool:
    """Return whether the newest upstream run of the month has succeeded; raise when it has failed.

    The API does not search for parameters: this looks through the newest 200 runs of the flow.
    """
    upstream = FlowFilter.model_validate({"name": {"any_": ["publish_month"]}})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=upstream, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
    state = next((run.state for run in runs if run.parameters.get("month") == month), None)
    if state and (state.is_failed() or state.is_crashed()):
        raise RuntimeError(f"{month} was not published: {state}")
    return bool(state and state.is_completed())


@task
def wait(month: str) -> None:
    """Ask every second."""
    until(lambda: is_published(month) or None, work.LIMIT_S, 1, f"the upstream run of {month}")


@flow(name="build_after_poll")
def build_after_poll(month: str) -> None:
    """Poll: ask for the upstream run, in a process that does nothing else."""
    wait(month)
    build(month)


@flow(name="build_after_poll_deferred")
def build_after_poll_deferred(month: str) -> State[None]:
    """Poll, deferred: ask once; go back to the queue for five seconds, and hold no process."""
    if not task(is_published)(month):
        later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
        return AwaitingRetry(scheduled_time=later, message=f"{month} is not published yet")
    build(month)
    return Completed()


@flow(name="build_on_event")
def build_on_event(month: str) -> None:
    """Event: build the month of the asset's event."""
    build.with_options(name="built_month")(month)


deployments = [
    publish_month.to_deployment("triptych"),
    build_when_told.to_deployment("triptych"),
    build_after_call.to_deployment("triptych"),
    build_after_poll.to_deployment("triptych"),
    build_after_poll_deferred.to_deployment("triptych"),
    build_on_event.to_deployment("triptych", triggers=[EACH]),
]
