"""The rules of `tests.faults.build_points`: which faults are injected where, and what each must lead to.

SIGKILL is injected at every point of the two most common builds (`Scenario.every`). Every other fault is injected once
at each shape of statement (`Point.shape`) in all scenarios together, because tests send the same statements over and
over. A statement that only reads meets fewer faults (`READS`, `_moments`).
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Sequence
from typing import Any

from core import errors
from tests.faults.injector import Ended

# --- cases ---


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A build, and the name of the snapshot that it starts from."""

    name: str
    state: str
    every: bool = False
    """Whether SIGKILL is injected at every point, and not once at each shape, as all other faults are."""
    cold: bool = False
    fresh: bool = False
    """Whether dbt has never built in the schema, and parses everything."""


SCENARIOS = (
    Scenario("build, nothing pending", "built", every=True),
    Scenario("build, one month replaced", "replaced", every=True),
    Scenario("build, first one", "loaded"),
    Scenario("build, zones replaced", "zones"),
    Scenario("build, one month replaced, dbt cold", "replaced", cold=True),
    Scenario("build, first one, nothing parsed", "loaded", fresh=True),
)


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a fault can happen: `kind` is ``statement``, ``file`` or ``process``; `nth` counts those of its name."""

    kind: str
    name: str
    nth: int

    @property
    def who(self) -> str:
        """``loader`` or ``dbt``."""
        return self.name.partition(":")[0].partition(" ")[0]

    @property
    def shape(self) -> str:
        """What the point has in common with similar ones; of a test, it leaves out which test it is."""
        name = re.sub(r"^dbt (unit_test|test) \w+", r"dbt \1", self.name)
        name = re.sub(r"^dbt \w+ \w+: close", "dbt: close", name)
        return re.sub(r"(compiled|run)/.*", r"\1/", name)

    @property
    def changes(self) -> bool:
        """Whether it is a statement that may change something, or ends a transaction or a session."""
        return self.kind == "statement" and re.search(r": (SELECT|select|SET|BEGIN|connect)\b", self.name) is None


READS = ("SIGKILL", "SIGTERM", "dbt killed", "backend terminated")
"""Faults at a statement that only reads, or begins: others would find what they find at the next one that writes."""

STOPS = ("SIGTERM", "backend terminated", "connection cut", "server stopped", "server's disk full")
FAULTS = {
    ("statement", "loader"): ("SIGKILL", *STOPS),
    ("statement", "dbt"): ("SIGKILL", "dbt killed", "lock's backend terminated", *STOPS),
    ("file", "loader"): ("SIGKILL", "SIGTERM", "loader's disk full"),
    ("file", "dbt"): ("dbt killed", "killed half written", "loader's disk full"),
    ("process", "loader"): ("SIGKILL", "SIGTERM"),
}
"""Faults by the kind of point and its process. SIGKILL and SIGTERM go to the loader."""

AFTER = ("SIGKILL", "backend terminated", "server stopped", "connection cut")
"""Faults that also come after a change: others would find what they find before the next statement."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One fault at one point of one scenario."""

    number: int
    point: Point
    when: str
    fault: str


def cases(points: Sequence[Point], scenario: Scenario, met: set[tuple[str, str, str]]) -> list[Case]:
    """Return the cases of a scenario with these points; `met` holds the shapes, moments and faults that are done."""
    found = []
    for number, point in enumerate(points):
        for fault in FAULTS[point.kind, point.who]:
            for when in _moments(point, fault):
                key = (point.shape, when, fault)
                always = scenario.every and (fault, when) == ("SIGKILL", "before")
                if always or scenario.cold or key not in met:
                    found.append(Case(number, point, when, fault))
                met.add(key)
    return found


def _moments(point: Point, fault: str) -> tuple[str, ...]:
    if point.kind == "process" or fault == "loader's disk full":
        return ("before",)
    if fault == "killed half written":
        return ("after",) if ": write " in point.name else ()
    if point.kind == "file":
        return ("before", "after")
    if not point.changes and fault not in READS:
        return ()
    if ": close" in point.name:
        return ("before",) if fault in READS else ()
    return ("before", "after") if point.changes and fault in AFTER else ("before",)


def drawn(cases: Sequence[Case], number: int, draw: random.Random) -> list[Case]:
    """Return so many cases, with the faults taking turns."""
    by_fault: dict[str, list[Case]] = {}
    for case in draw.sample(cases, len(cases)):
        by_fault.setdefault(case.fault, []).append(case)
    turns = [case for turn in range(len(cases)) for of in by_fault.values() for case in of[turn : turn + 1]]
    return sorted(turns[:number], key=lambda case: case.number)


# --- what each must lead to ---


MARTS = ("fct_trips", "daily_borough_stats")
"""How the names of tables begin that become visible together."""


def reader(found: dict[str, str], before: dict[str, str], undisturbed: dict[str, str]) -> str:
    """Return what a reader sees: ``old``, ``new``, the new tables among old ones, or ``part`` and what is neither.

    It is ``part`` as well where some marts are new and others old, because one transaction publishes them all.
    """
    keys = sorted(before.keys() | undisturbed.keys() | found.keys())
    wrong = [key for key in keys if found.get(key) not in (before.get(key), undisturbed.get(key))]
    if wrong:
        return f"part: {', '.join(wrong)}"
    new = [key for key in keys if before.get(key) != undisturbed.get(key) and found.get(key) == undisturbed.get(key)]
    old = [key for key in keys if before.get(key) != undisturbed.get(key) and found.get(key) == before.get(key)]
    both = f"new {', '.join(new)} and old {', '.join(old)}"
    if all(any(key.startswith(MARTS) for key in some) for some in (new, old)):
        return f"part: {both}"
    return both if new and old else "new" if new else "old" if old else "the same"


def honest(found: dict[str, Any], before: dict[str, Any], undisturbed: dict[str, Any]) -> bool:
    """Whether ledgers and test results are those of the marts: all from before the build, or all from after it."""
    keys = ("transform_ledger", "mart_ledger", "test_results")
    states = [state for state in (before, undisturbed) if [found[key] for key in keys] == [state[key] for key in keys]]
    return any(_marts(found) == _marts(state) for state in states)


def _marts(content: dict[str, Any]) -> dict[str, str]:
    return {name: digest for name, digest in content["tables"].items() if name.startswith(MARTS)}


def misplaced(fault: str, first: Ended, secret: str) -> str | None:
    """Return what is wrong with how the first run ended, or None.

    A run may succeed: then the fault came too late for it.
    """
    wanted: type[errors.TriptychError] | None = {
        "server's disk full": errors.DiskFull,
        "loader's disk full": errors.DiskFull,
    }.get(fault, errors.TransientError)
    said = f"the first run: {first.how}: {first.said}".replace(secret, "***")
    if secret in first.said or "\n" in first.said:
        return f"a secret, or more than a line, in what it said: {said}"
    if first.how == "success" or fault == first.how or (fault, first.how) == ("SIGTERM", "SystemExit"):
        return None
    found = getattr(errors, first.how, None)
    return None if fault not in ("SIGKILL",) and found and wanted and issubclass(found, wanted) else said
