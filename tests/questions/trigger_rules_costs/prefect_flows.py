"""The flows of the question: rules that need not wait for a slow upstream, and failures that a run's state hides."""

from __future__ import annotations

import time
from typing import Any, Literal

from prefect import allow_failure, flow, task
from prefect.futures import PrefectFuture

from tests.questions.trigger_rules.prefect_flows import end_as, follow
from tests.questions.trigger_rules.prefect_rules import RULES, End, submit_when
from tests.questions.trigger_rules_costs.pipelines import EARLY, SLOW_S

Futures = list[PrefectFuture[Any]]


@task
def slow(seconds: int) -> None:
    """Take so many seconds."""
    time.sleep(seconds)


work = end_as.with_options(name="work")
clean_up = follow.with_options(name="clean_up")


@flow(name="early_rules")
def early_rules(quick: End = "success", seconds: int = SLOW_S) -> Futures:
    """Show which rules are decided before all upstreams have ended."""
    upstreams = [end_as.with_options(name="quick").submit(quick), slow.submit(seconds)]
    named = {rule: follow.with_options(name=rule) for rule in EARLY}
    all_done = named["all_done"].submit(wait_for=[allow_failure(each) for each in upstreams])  # type: ignore[call-overload]
    return [all_done, *(submit_when(named[rule], rule, upstreams) for rule in EARLY if rule in RULES)]  # type: ignore[arg-type]


@flow(name="mixed_ends")
def mixed_ends(earlier: Literal["skipped", "failed"] = "skipped") -> Futures:
    """Let one upstream of a task be skipped, and the other one fail, in either order. A flow returns what counts."""
    before = end_as.with_options(name="earlier").submit(earlier)
    other: End = "failed" if earlier == "skipped" else "skipped"
    after = end_as.with_options(name="later").submit(other, wait_for=[allow_failure(before)])  # type: ignore[call-overload]
    return [before, after, submit_when(follow.with_options(name="last"), "all_success", [before, after])]  # type: ignore[list-item]


@flow(name="cleanup_by_rule")
def cleanup_by_rule() -> None:
    """Clean up with a task that runs in any case: a flow that returns nothing has completed, so the failure is lost."""
    clean_up.submit(wait_for=[allow_failure(work.submit("failed"))]).wait()  # type: ignore[call-overload]


@flow(name="cleanup_by_teardown")
def cleanup_by_teardown() -> None:
    """Clean up as Python does: the exception goes on after it, and fails the run."""
    try:
        work("failed")
    finally:
        clean_up()


deployments = [
    each.to_deployment("triptych") for each in (early_rules, mixed_ends, cleanup_by_rule, cleanup_by_teardown)
]
