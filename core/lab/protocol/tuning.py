"""The settings that an adapter changes for speed alone, and the switch that leaves them as the orchestrator ships them.

TRIPTYCH_AS_SHIPPED is ``all``, or such settings by name: ``airflow.core_parallelism,dagster.backfill_loop``. The word
``guards`` leaves as shipped what decides when something lost is noticed, and whether it runs again: the drills compare
both. What else an adapter changes for safety, or because the lab could not drive the orchestrator without it, has no
switch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UsageError, quoted
from core.lab.protocol.message import Message

VARIABLE = "TRIPTYCH_AS_SHIPPED"

ALL = "all"

GUARDS = "guards"
"""What the environment names, alone or beside others, to leave the guards as they are shipped; `ALL` does not."""


@dataclass(frozen=True)
class Tuned(Message):
    """A setting that may stay as it is shipped. `name` begins with the orchestrator's name and a dot."""

    name: str
    value: str
    """What the adapter sets."""
    shipped: str
    """The orchestrator's own default, in words where it has none."""


def as_shipped(settings: Iterable[Tuned]) -> set[str]:
    """Return the names of those of an orchestrator's `settings` that the environment leaves as they are shipped.

    Raise `UsageError` for a name with this orchestrator's prefix that is none of them.
    """
    wanted = _wanted() - {GUARDS}
    known = {each.name for each in settings}
    if ALL in wanted:
        return known
    prefixes = tuple({name.partition(".")[0] + "." for name in known})
    for name in sorted(wanted):
        if "." not in name or (name.startswith(prefixes) and name not in known):
            raise UsageError(
                f"{VARIABLE}: {quoted(name)!r} is no such setting: choose from {ALL}, {', '.join(sorted(known))}"
            )
    return wanted & known


def guards_as_shipped() -> bool:
    """Return whether the environment leaves the guards as they are shipped."""
    return GUARDS in _wanted()


def _wanted() -> set[str]:
    return {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
