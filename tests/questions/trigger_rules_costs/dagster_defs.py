"""The jobs of the question: rules that need not wait for a slow upstream, and failures that a run's state hides."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from tests.questions.trigger_rules.dagster_defs import END, raises, reports, step
from tests.questions.trigger_rules.dagster_rules import End, after, fail_if_any_failed, reporting
from tests.questions.trigger_rules_costs.pipelines import EARLY, MIXED, SLOW_S


@reporting(config_schema=int, tags={"dagster/priority": "-3"})
def slow(context: dg.OpExecutionContext) -> None:
    """Take so many seconds."""
    time.sleep(context.op_config)


@dg.op
def all_success(quick: str, slow: End) -> None:
    """Run when there are both outputs."""


@dg.config_mapping(
    config_schema={"quick": dg.Field(END, default_value="success"), "seconds": dg.Field(int, default_value=SLOW_S)}
)
def how_quick(given: Mapping[str, Any]) -> dict[str, Any]:
    """Tell the steps that end at once how, and the slow one how long to take."""
    told = {"quick": given["quick"], "native_quick": given["quick"], "slow": given["seconds"]}
    return {"ops": {op: {"config": config} for op, config in told.items()}}


@dg.job(config=how_quick)
def early_rules() -> None:
    """Show which rules are decided before all upstreams have ended."""
    late = slow()
    ends = [reports("quick", 1)(), late]
    for rule in EARLY:
        if rule != "all_success":
            step(rule)(after(rule, ends))
    all_success(raises("native_quick", 2)(), late)


@dg.op
def last(earlier: str, later: str) -> None:
    """Run when there are both outputs."""


@dg.config_mapping(config_schema={"earlier": dg.Field(END, default_value=MIXED[0])})
def one_of_each(given: Mapping[str, str]) -> dict[str, Any]:
    """Tell the second step to end in the other way than the first."""
    other = "failed" if given["earlier"] == "skipped" else "skipped"
    return {"ops": {"earlier": {"config": given["earlier"]}, "later": {"config": other}}}


@dg.job(config=one_of_each)
def mixed_ends() -> None:
    """Let one upstream of a step be skipped, and the other one fail, in either order."""
    last(raises("earlier", 1)(), raises("later", 2)())


@reporting()
def work(_context: dg.OpExecutionContext) -> None:
    """Fail."""
    raise RuntimeError("told to fail")


@dg.job
def cleanup_by_rule() -> None:
    """Clean up with a step that runs in any case. Without the last line, the run would be a success."""
    ends = [work()]
    step("clean_up")(after("all_done", ends))
    fail_if_any_failed(ends)


class Workspace(dg.ConfigurableResource["Workspace"]):
    """What a step uses, and Dagster cleans up after it in any case."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Workspace"]:
        """Yield it to the steps of a run, and clean up."""
        try:
            yield self
        finally:
            if context.log:
                context.log.info("cleaned up")


@dg.op
def work_in(workspace: Workspace) -> None:
    """Fail."""
    raise RuntimeError("told to fail")


@dg.job(resource_defs={"workspace": Workspace()})
def cleanup_by_teardown() -> None:
    """Clean up with the resource that the step uses: that is no step, and the failure stays what it is."""
    work_in.alias("work")()


defs = dg.Definitions(jobs=[early_rules, mixed_ends, cleanup_by_rule, cleanup_by_teardown])
