"""Airflow's trigger rules for Prefect tasks: `submit_when(task, "one_failed", upstreams)`.

Prefect has three of the rules itself, in the `wait_for` of a task: ``wait_for=upstreams`` is `none_failed`, with
`allow_failure` around each of them it is `all_done`, and a task that waits for nothing is `always`. This module has the
others. It knows three ends of a task:

    success   its state is Completed
    skipped   its state is Completed too, under the name Skipped: Prefect has no type of state for it
    failed    every other end: Failed, Crashed, Cancelled, and NotReady, which is Pending and never becomes final

A rule decides as soon as it can, before the other upstreams have ended. A task that must not run ends as Skipped or as
UpstreamFailed, which is of type Failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from typing import Any, Literal

from prefect import State, Task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

End = Literal["success", "failed", "skipped"]
Verdict = Literal["run", "skipped", "upstream failed"]
Upstream = PrefectConcurrentFuture[Any]
"""A task that runs in a thread of its flow, where Prefect's default task runner submits it to."""


@dataclass(frozen=True)
class Ended:
    """How many of a task's upstreams have ended so far, and how."""

    upstreams: int
    success: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, end: End) -> Ended:
        """Count one more."""
        return replace(self, **{end: getattr(self, end) + 1})

    @property
    def is_all(self) -> bool:
        """Whether all of them have ended."""
        return self.success + self.failed + self.skipped == self.upstreams

    def at_last(self, verdict: Verdict) -> Verdict | None:
        """Return the verdict once all of them have ended, and None before."""
        return verdict if self.is_all else None

    def without_success(self) -> Verdict:
        """Return what becomes of a task that needed a success, once all have ended without one."""
        return "skipped" if self.skipped == self.upstreams else "upstream failed"


Rule = Callable[[Ended], Verdict | None]
"""What becomes of the task, as soon as that is certain."""

RULES: Mapping[str, Rule] = {
    "all_success": lambda now: "upstream failed" if now.failed else "skipped" if now.skipped else now.at_last("run"),
    "all_failed": lambda now: "skipped" if now.success or now.skipped else now.at_last("run"),
    "all_skipped": lambda now: "skipped" if now.success or now.failed else now.at_last("run"),
    "one_success": lambda now: "run" if now.success else now.at_last(now.without_success()),
    "one_failed": lambda now: "run" if now.failed else now.at_last("skipped"),
    "one_done": lambda now: "run" if now.success or now.failed else now.at_last("skipped"),
    "none_skipped": lambda now: "skipped" if now.skipped else now.at_last("run"),
    "none_failed_min_one_success": lambda now: (
        "upstream failed" if now.failed else now.at_last("run" if now.success else "skipped")
    ),
    "all_done_min_one_success": lambda now: (
        "skipped" if now.skipped else now.at_last("run" if now.success else "upstream failed")
    ),
    "all_done_setup_success": lambda now: now.at_last("run" if now.success else now.without_success()),
}


def submit_when(task: Task[..., Any], rule: str, upstreams: Sequence[Upstream], *args: Any, **kwargs: Any) -> Upstream:
    """Submit a task that runs when the rule says so, like ``task.submit(*args, wait_for=upstreams)``.

    It waits in a thread of its own, as Running. An argument that is a future makes it wait for that as always. Raise
    KeyError for a rule that this module does not have.
    """
    decide = RULES[rule]

    def run_by_rule(upstreams: Sequence[Upstream], *args: Any, **kwargs: Any) -> Any:
        verdict = verdict_of(decide, len(upstreams), map(end_of, states(upstreams)))
        return task.fn(*args, **kwargs) if verdict == "run" else not_run(verdict)

    # The copy keeps the task's key, which its function made: to Prefect it is the same task. A cache would need a hash
    # of the upstreams.
    waiting = task.with_options(cache_policy=NO_CACHE)
    waiting.fn = run_by_rule
    # Quoted, they are an argument like any other: Prefect itself does not wait for them.
    future: Upstream = waiting.submit(quote(upstreams), *args, **kwargs)
    return future


def verdict_of(rule: Rule, upstreams: int, ends: Iterator[End]) -> Verdict:
    """Return what the rule says of a task with so many upstreams; ask for no more `ends` than it needs."""
    now = Ended(upstreams)
    while not (verdict := rule(now)):
        now += next(ends)
    return verdict


def states(upstreams: Sequence[Upstream]) -> Iterator[State]:
    """Yield the state of each upstream when it has ended, in the order of their ends.

    `prefect.futures.as_completed` yields those that have ended before in any order, and some rules depend on it.
    """
    pending = {each.wrapped_future: each for each in upstreams}
    while pending:
        ended = [pending.pop(future) for future in wait(pending, return_when=FIRST_COMPLETED).done]
        for each in ended:
            # Until this is called, `state` is what the server knows, which learns of it late.
            each.wait()
        yield from sorted((each.state for each in ended), key=lambda state: state.timestamp)


def end_of(state: State) -> End:
    """Return how a task ended."""
    if state.name == "Skipped":
        return "skipped"
    return "success" if state.is_completed() else "failed"


def not_run(verdict: Verdict) -> State:
    """Return the state of a task that must not run."""
    if verdict == "skipped":
        return Completed(name="Skipped", message="skipped by its rule")
    return Failed(name="UpstreamFailed", message="an upstream failed")
