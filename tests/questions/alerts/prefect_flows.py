"""Alerts in Prefect: hooks in the run, and automations in the server that call a webhook."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from typing import Any

from prefect import Flow, State, flow, task
from prefect.assets import materialize
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.events import EventTrigger
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import Posture
from prefect.states import Failed

from tests.questions.alerts import work
from tests.questions.alerts.pipelines import FAIL, LATE, LATE_BUT_ENDED, MAY_BE_LATE, TABLE

ASSET = "triptych://alerts/table"

FAILED = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
ENDED = {*FAILED, "prefect.flow-run.Completed", "prefect.flow-run.Cancelled"}


def runs_of(name: str) -> dict[str, Any]:
    """Return what a trigger matches: the events of a flow's runs, each run for itself."""
    return {
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": name},
        "for_each": {"prefect.resource.id"},
    }


def failed(name: str) -> EventTrigger:
    """Fire when a run fails."""
    return EventTrigger(expect=FAILED, **runs_of(name))


def too_late(name: str) -> EventTrigger:
    """Fire when a run has begun and its end stays away for so long."""
    return EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.Pending"},
        expect=ENDED,
        within=dt.timedelta(seconds=work.LATE_S),
        **runs_of(name),
    )


UPDATED = {"prefect.asset.materialization.succeeded"}

TOO_OLD = EventTrigger(
    posture=Posture.Proactive,
    after=UPDATED,
    expect=UPDATED,
    match={"prefect.resource.id": ASSET},
    for_each={"prefect.resource.id"},
    within=dt.timedelta(seconds=work.OLD_S),
)


@flow(name="alerts_watch")
def alerts_watch() -> None:
    """Create the automations: they are the server's, and belong to no deployment."""
    Webhook(url=work.endpoint()).save("alerts", overwrite=True)  # type: ignore[arg-type]
    for name in FAIL:
        automate("run", name, failed(name))
    for name in MAY_BE_LATE:
        automate("late", name, too_late(name))
    automate("old", TABLE, TOO_OLD)


def automate(alert: str, pipeline: str, trigger: EventTrigger) -> None:
    """Have the server post an alert when a trigger fires; replace what has its name."""
    name = f"{alert} {pipeline}"
    with suppress(ValueError):
        Automation.read(name=name).delete()  # type: ignore[attr-defined]  # a coroutine only where an event loop runs
    # A template of `payload` sees the event, and the flow run of it.
    payload = json.dumps({"alert": alert, "pipeline": pipeline})
    webhook = Webhook.load("alerts")._block_document_id  # type: ignore[union-attr]  # the same
    Automation(name=name, trigger=trigger, actions=[CallWebhook(block_document_id=webhook, payload=payload)]).create()


def tell_in_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell of a failed run, in the process of the run."""
    work.tell("task", flow.name)


@task(cache_policy=NO_CACHE)
def fail() -> None:
    """Fail."""
    work.fail("alerts_failing")


@flow(name="alerts_failing", on_failure=[tell_in_run])
def alerts_failing() -> None:
    """Fail."""
    fail()


@task(cache_policy=NO_CACHE)
def die() -> None:
    """Die, without a Python exception."""
    work.die("alerts_dying")


@flow(name="alerts_dying", on_failure=[tell_in_run])
def alerts_dying() -> None:
    """Die. The run is Crashed then, and not Failed: that is `on_crashed`."""
    die()


@task(cache_policy=NO_CACHE)
def wait() -> None:
    """Wait."""
    work.held(LATE)


@flow(name="alerts_late")
def alerts_late() -> None:
    """Be late."""
    wait()


@task(cache_policy=NO_CACHE)
def wait_and_end() -> None:
    """Wait."""
    work.held(LATE_BUT_ENDED)


@flow(name="alerts_late_but_ended")
def alerts_late_but_ended() -> None:
    """Be late, and end while the server is dead."""
    wait_and_end()


@materialize(ASSET, cache_policy=NO_CACHE)
def update_table() -> None:
    """Update the table; when this returns, Prefect emits an event of the asset."""


@flow(name="alerts_table")
def alerts_table() -> None:
    """Update the table, once."""
    update_table()


@task(cache_policy=NO_CACHE)
def load() -> int:
    """Load nothing."""
    return work.load()


@task(cache_policy=NO_CACHE)
def use(rows: int) -> None:
    """Use the table."""


@flow(name="alerts_unchecked")
def alerts_unchecked() -> None:
    """Load nothing, and go on."""
    use(load())


@task(cache_policy=NO_CACHE)
def load_checked() -> int:
    """Load nothing."""
    return work.load()


@task(cache_policy=NO_CACHE)
def use_checked(rows: int) -> None:
    """Use the table."""


@flow(name="alerts_checked")
def alerts_checked() -> State[Any] | None:
    """Load nothing, and notice: what the flow returns is its state."""
    rows = load_checked()
    if not rows:
        return Failed(message="the table is empty")
    use_checked(rows)
    return None


deployments = [
    each.to_deployment("triptych")
    for each in (
        alerts_watch, alerts_failing, alerts_dying, alerts_late, alerts_late_but_ended, alerts_table,
        alerts_unchecked, alerts_checked,
    )
]  # fmt: skip
