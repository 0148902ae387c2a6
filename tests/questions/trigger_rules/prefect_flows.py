"""The flow `trigger_rules`: three tasks that end as they are told, and after them a task for each rule."""

from __future__ import annotations

from prefect import State, allow_failure, flow, task
from prefect.futures import PrefectFuture
from prefect.states import Completed

from tests.questions.trigger_rules.pipelines import RULES
from tests.questions.trigger_rules.prefect_rules import End, submit_when


@task
def end_as(told: End) -> State | None:
    """End as told."""
    if told == "failed":
        raise RuntimeError("told to fail")
    return Completed(name="Skipped", message="told to skip") if told == "skipped" else None


@task
def follow() -> None:
    """Do nothing: that it runs is what is asked."""


@flow(name="trigger_rules")
def trigger_rules(first: End = "success", second: End = "success", third: End = "success") -> list[PrefectFuture[None]]:
    """Show when each of Airflow's trigger rules lets a task run."""
    upstreams = []  # type: ignore[var-annotated]
    for name, told in {"first": first, "second": second, "third": third}.items():
        # Each waits for the one before it, so that they end in this order.
        before = [allow_failure(each) for each in upstreams]
        upstreams.append(end_as.with_options(name=name).submit(told, wait_for=before))  # type: ignore[call-overload]
    tasks = {rule: follow.with_options(name=rule) for rule in RULES}
    futures = {
        "none_failed": tasks["none_failed"].submit(wait_for=upstreams),  # type: ignore[call-overload]
        "all_done": tasks["all_done"].submit(wait_for=[allow_failure(each) for each in upstreams]),  # type: ignore[call-overload]
        "always": tasks["always"].submit(),
    }
    futures |= {rule: submit_when(tasks[rule], rule, upstreams) for rule in RULES if rule not in futures}
    # Returned, they decide the state of the run.
    return list(futures.values())


deployments = [trigger_rules.to_deployment("triptych")]
