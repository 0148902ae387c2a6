"""The job `trigger_rules`: three steps that end as they are told, and after them a step for each trigger rule."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from tests.questions.trigger_rules.dagster_rules import Skip, after, fail_if_any_failed, reporting
from tests.questions.trigger_rules.pipelines import ENDS, RULES, UPSTREAMS

NATIVE = ("all_success", "none_failed_min_one_success", "always")


def reports(name: str, place: int) -> dg.OpDefinition:
    """Return an op that says how it ended, for the rules that Dagster does not have."""

    # Of the steps that could start, the in-process executor starts the one of the highest priority: they end in order.
    @reporting(name, config_schema=str, tags={"dagster/priority": str(-place)})
    def end_as_told(context: dg.OpExecutionContext) -> None:
        if context.op_config == "failed":
            raise RuntimeError("told to fail")
        if context.op_config == "skipped":
            raise Skip("told to skip")

    return end_as_told


def raises(name: str, place: int) -> dg.OpDefinition:
    """Return an op that ends as Dagster's do: it raises, or has no output, which skips what needs it."""

    @dg.op(name=name, config_schema=str, tags={"dagster/priority": str(-place)}, out=dg.Out(str, is_required=False))
    def end_as_told(context: dg.OpExecutionContext) -> Iterator[dg.Output[str]]:
        if context.op_config == "failed":
            raise RuntimeError("told to fail")
        if context.op_config == "success":
            yield dg.Output("done")

    return end_as_told


def step(rule: str) -> dg.OpDefinition:
    """Return the op that a rule lets run; it does nothing."""

    @dg.op(name=rule, ins={"start": dg.In(dg.Nothing)})
    def done() -> None: ...

    return done


@dg.op
def all_success(first: str, second: str, third: str) -> None:
    """Run when there are three outputs: it needs each of them."""


@dg.op
def none_failed_min_one_success(ends: list[str]) -> None:
    """Run when no upstream failed and there is an output: a fan-in has those that there are."""


@dg.op
def always() -> None:
    """Run: it needs nothing."""


END = dg.Enum("End", [dg.EnumValue(end) for end in ENDS])


@dg.config_mapping(config_schema={name: dg.Field(END, default_value="success") for name in UPSTREAMS})
def told(ends: dict[str, str]) -> dict[str, Any]:
    """Tell both ops of each name how to end."""
    ops = {op: {"config": end} for name, end in ends.items() for op in (name, f"native_{name}")}
    return {"ops": ops}


@dg.job(config=told)
def trigger_rules() -> None:
    """Show when a step runs under each of Airflow's trigger rules."""
    ends = [reports(name, place)() for place, name in enumerate(UPSTREAMS)]
    for rule in RULES:
        if rule not in NATIVE:
            step(rule)(after(rule, ends))
    fail_if_any_failed(ends)

    native = [raises(f"native_{name}", place)() for place, name in enumerate(UPSTREAMS)]
    all_success(*native)
    none_failed_min_one_success(native)
    always()


defs = dg.Definitions(jobs=[trigger_rules])
