"""A lost run in Prefect: runs emit heartbeats, and an automation crashes those whose heartbeats stay away."""

from __future__ import annotations

import datetime as dt

from prefect import flow, task
from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Posture

from tests.questions.limits.work import hold

HEARTBEAT = "prefect.flow-run.heartbeat"
ENDED = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")}

# As the guide of Prefect has it: three heartbeats may stay away.
LOST = EventTrigger(
    after={HEARTBEAT},
    expect={HEARTBEAT, *ENDED},
    match={"prefect.resource.id": "prefect.flow-run.*"},
    for_each={"prefect.resource.id"},
    posture=Posture.Proactive,
    within=dt.timedelta(seconds=90),
)


@task
def work_on(folder: str, name: str) -> None:
    """Take some time."""
    hold(folder, name)


@flow(name="zombie_run")
def zombie_run(folder: str, name: str) -> None:
    """Run a task that takes its time."""
    work_on(folder, name)


@flow(name="zombie_run_watch")
def zombie_run_watch() -> None:
    """Create the automation."""
    crash = ChangeFlowRunState(state=StateType.CRASHED, name=None, message="no heartbeat", force=False)
    Automation(name="zombie_run", trigger=LOST, actions=[crash]).create()


# As shipped, a run emits one every 180 s; 30 s is the shortest.
HEARTBEATS = {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}

deployments = [
    zombie_run.to_deployment("triptych", job_variables=HEARTBEATS),
    zombie_run_watch.to_deployment("triptych"),
]
