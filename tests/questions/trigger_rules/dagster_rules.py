"""Airflow's trigger rules for Dagster's ops, built of what Dagster has.

    @reporting()
    def load(context): ...

    @dg.op(ins={"start": dg.In(dg.Nothing)})
    def alert(): ...

    @dg.job
    def nightly():
        ends = [load(), audit()]
        alert(after("one_failed", ends))
        fail_if_any_failed(ends)

Dagster has one rule: a step starts when its inputs are there. It never starts one whose upstream failed. So an op that
is made with `reporting` does not fail: its output says how its function ended. `after` adds a gate, an op that applies
a rule to these outputs. The step behind the gate starts; or it is skipped, because the gate has no output; or it can't
run, because the gate fails. Dagster's pages and events show all three as they show any such step.

What this costs: a step that failed is shown as a success, with its end as metadata. No `RetryPolicy`, hook or alert
sees the failure of one step, hence `retries`, and `fail_if_any_failed` for the run. A gate waits for all upstreams,
also where its rule is decided by the first. Each rule is one more step.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import dagster as dg

State = Literal["success", "failed", "skipped"]
Verdict = Literal["run", "skipped", "upstream failed"]


class Skip(Exception):
    """Raised by a function that has nothing to do: its step counts as skipped."""


@dataclass(frozen=True)
class End:
    """How a step ended."""

    step: str
    state: State


def reporting(
    name: str | None = None, *, retries: int = 0, **settings: Any
) -> Callable[[Callable[[dg.OpExecutionContext], object]], dg.OpDefinition]:
    """Decorate a function to become an op that never fails, and whose output is an `End`.

    After an exception, the op is run `retries` more times. The `settings` are those of `dg.op`.
    """

    def decorate(compute: Callable[[dg.OpExecutionContext], object]) -> dg.OpDefinition:
        @dg.op(name=name or compute.__name__, description=compute.__doc__, **settings)
        def report(context: dg.OpExecutionContext) -> dg.Output[End]:
            state: State = "success"
            try:
                compute(context)
            except Skip as reason:
                state = "skipped"
                context.log.info(f"skipped: {reason}")
            except Exception as error:
                if context.retry_number < retries:
                    raise dg.RetryRequested(max_retries=retries) from error
                state = "failed"
                context.log.exception("failed")
            return dg.Output(End(context.op_handle.name, state), metadata={"end": state})

        return report

    return decorate


def after(rule: str, ends: Sequence[Any]) -> Any:
    """Add the gate of a rule to the job that is being composed; return what the step's `dg.Nothing` input takes.

    The `ends` are what calls of `reporting` ops returned.
    """
    return gate(rule)(list(ends))


@cache
def gate(rule: str) -> dg.OpDefinition:
    """Return the op that applies a rule: it has an output, or none, or fails."""

    @dg.op(name=f"{rule}_gate", out=dg.Out(dg.Nothing, is_required=False))
    def decide(ends: list[End]) -> Iterator[dg.Output[None]]:
        verdict = verdict_of(rule, [end.state for end in ends])
        if verdict == "upstream failed":
            raise dg.Failure(f"{rule}: {told(ends)}", allow_retries=False)
        if verdict == "run":
            yield dg.Output(None)

    return decide


@dg.op
def fail_if_any_failed(ends: list[End]) -> None:
    """Fail the run, which would else be a success."""
    if failed := [end for end in ends if end.state == "failed"]:
        raise dg.Failure(told(failed), allow_retries=False)


def told(ends: Sequence[End]) -> str:
    """Return how steps ended, for a message."""
    return ", ".join(f"{end.step}: {end.state}" for end in ends)


def verdict_of(rule: str, states: Sequence[State]) -> Verdict:
    """Return what a rule says of a step whose upstreams ended like this; raise `KeyError` for an unknown rule."""
    ended = Counter(states)
    return RULES[rule](ended["success"], ended["failed"], ended["skipped"])


RULES: dict[str, Callable[[int, int, int], Verdict]] = {
    # In Airflow, the first upstream that did not succeed decides. A gate does not know which one that was.
    "all_success": lambda success, failed, skipped: "upstream failed" if failed else "skipped" if skipped else "run",
    "all_failed": lambda success, failed, skipped: "skipped" if success or skipped else "run",
    "all_done": lambda success, failed, skipped: "run",
    "one_success": lambda success, failed, skipped: "run" if success else "upstream failed" if failed else "skipped",
    "one_failed": lambda success, failed, skipped: "run" if failed else "skipped",
    "none_failed": lambda success, failed, skipped: "upstream failed" if failed else "run",
    "none_failed_min_one_success": lambda success, failed, skipped: (
        "upstream failed" if failed else "run" if success else "skipped"
    ),
    "none_skipped": lambda success, failed, skipped: "skipped" if skipped else "run",
    "all_skipped": lambda success, failed, skipped: "skipped" if success or failed else "run",
    "one_done": lambda success, failed, skipped: "run" if success or failed else "skipped",
    "all_done_min_one_success": lambda success, failed, skipped: (
        "skipped" if skipped else "run" if success else "upstream failed"
    ),
    # The upstreams are the setups.
    "all_done_setup_success": lambda success, failed, skipped: (
        "run" if success else "upstream failed" if failed else "skipped"
    ),
    "always": lambda success, failed, skipped: "run",
}
"""What each rule says, by the numbers of upstreams that succeeded, failed and were skipped."""
