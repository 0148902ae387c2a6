"""A join after a branch in Dagster: an output that is not yielded skips what needs it; a list needs one of its own."""

from collections.abc import Iterator

import dagster as dg


@dg.op(out={name: dg.Out(str, is_required=False) for name in ("second", "join", "buffer")})
def first() -> Iterator[dg.Output[str]]:
    """Choose the second branch."""
    yield dg.Output("chosen", "second")


@dg.op(out={name: dg.Out(str, is_required=False) for name in ("dead_end", "work")})
def second(chosen: str) -> Iterator[dg.Output[str]]:
    """Choose the dead end."""
    yield dg.Output(chosen, "dead_end")


@dg.op
def step(before: str) -> str:
    """Do something after a step."""
    return before


@dg.op
def joined(before: list[str]) -> None:
    """Run when one of them is there."""


@dg.job
def join_after_branch() -> None:
    """Choose the second branch, and there the dead end."""
    chosen, direct, to_buffer = first()
    dead_end, to_work = second(chosen)
    step.alias("dead_end")(dead_end)
    work, buffer = step.alias("work")(to_work), step.alias("buffer")(to_buffer)
    joined.alias("join")([direct, work])
    joined.alias("buffered_join")([buffer, work])


defs = dg.Definitions(jobs=[join_after_branch])
