"""A join after a branch in Prefect: branches are Python's."""

from __future__ import annotations

from prefect import flow, task


@task
def first() -> str:
    """Choose the second branch."""
    return "second"


@task
def second() -> str:
    """Choose the dead end."""
    return "dead_end"


@task
def step() -> None:
    """Do something."""


@flow(name="join_after_branch")
def join_after_branch() -> None:
    """Choose the second branch, and there the dead end."""
    done = []
    if first() == "second":
        if second() == "work":
            done.append(step.with_options(name="work").submit())
        else:
            step.with_options(name="dead_end")()
    else:
        done.append(step.with_options(name="buffer").submit())
    # Without a branch that worked, there is nothing to join.
    if done:
        for name in ("join", "buffered_join"):
            step.with_options(name=name).submit(wait_for=done).wait()  # type: ignore[call-overload]


deployments = [join_after_branch.to_deployment("triptych")]
