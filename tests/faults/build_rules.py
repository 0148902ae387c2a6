"""Which faults are put to which points of a build, and what each must lead to: the rules of `tests.faults.build_points`.

SIGKILL comes at every point of the two builds that are the rule (`Scenario.every`). All else comes once to each shape of
statement (`Point.shape`) in all scenarios together: tests have the same statements over and over. What only reads meets fewer
faults (`READS`, `_moments`).
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Sequence
from typing import Any

from core import errors
from tests.faults.injector import Ended

# --- what is asked ---


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What a build finds: the name of the snapshot that it starts from."""

    name: str
    state: str
    every: bool = False
    """Whether SIGKILL comes at every point; else once to each shape that had it in no scenario before, as all other faults do."""
    cold: bool = False
    fresh: bool = False
    """Whether dbt has not met the schema, and parses all anew."""


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
    """Where a fault can happen: `kind` is ``statement``, ``file`` or ``process``; `nth` of those of its name."""

    kind: str
    name: str
    nth: int

    @property
    def who(self) -> str:
        """``loader`` or ``dbt``."""
        return self.name.partition(":")[0].partition(" ")[0]

    @property
    def shape(self) -> str:
        """What the point has in common with those that are like it: of a test, not which test it is."""
        name = re.sub(r"^dbt (unit_test|test) \w+", r"dbt \1", self.name)
        name = re.sub(r"^dbt \w+ \w+: close", "dbt: close", name)
        return re.sub(r"(compiled|run)/.*", r"\1/", name)

    @property
    def changes(self) -> bool:
        """Whether it is a statement that may change something, or ends a transaction or a session."""
        return self.kind == "statement" and re.search(r": (SELECT|select|SET|BEGIN|connect)\b", self.name) is None


READS = ("SIGKILL", "SIGTERM", "dbt killed", "backend terminated")
"""What comes to a statement that only reads, or begins: the rest would find there what it finds at the next that writes."""

STOPS = ("SIGTERM", "backend terminated", "connection cut", "server stopped", "server's disk full")
FAULTS = {
    ("statement", "loader"): ("SIGKILL", *STOPS),
    ("statement", "dbt"): ("SIGKILL", "dbt killed", "lock's backend terminated", *STOPS),
    ("file", "loader"): ("SIGKILL", "SIGTERM", "loader's disk full"),
    ("file", "dbt"): ("dbt killed", "killed half written", "loader's disk full"),
    ("process", "loader"): ("SIGKILL", "SIGTERM"),
}
"""What is done at which kind of point of whom. SIGKILL is the loader's end, and SIGTERM too."""

AFTER = ("SIGKILL", "backend terminated", "server stopped", "connection cut")
"""What comes also after what changes something: the others would find then what they find before the next statement."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One fault at one point of one scenario."""

    number: int
    point: Point
    when: str
    fault: str


def cases(points: Sequence[Point], scenario: Scenario, met: set[tuple[str, str, str]]) -> list[Case]:
    """What is put to a scenario with these points; `met` are the shapes, moments and faults that had their turn."""
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
    """So many cases, the faults in turn."""
    by_fault: dict[str, list[Case]] = {}
    for case in draw.sample(cases, len(cases)):
        by_fault.setdefault(case.fault, []).append(case)
    turns = [case for turn in range(len(cases)) for of in by_fault.values() for case in of[turn : turn + 1]]
    return sorted(turns[:number], key=lambda case: case.number)


# --- what must come of it ---


MARTS = ("fct_trips", "daily_borough_stats")
"""How the names of what becomes visible together begin."""


def reader(found: dict[str, str], before: dict[str, str], golden: dict[str, str]) -> str:
    """What a reader sees: ``old``, ``new``, the tables that are new among old ones, or ``part`` and what is neither.

    ``part`` as well where some marts are new and others old: one transaction publishes them all.
    """
    keys = sorted(before.keys() | golden.keys() | found.keys())
    wrong = [key for key in keys if found.get(key) not in (before.get(key), golden.get(key))]
    if wrong:
        return f"part: {', '.join(wrong)}"
    new = [key for key in keys if before.get(key) != golden.get(key) and found.get(key) == golden.get(key)]
    old = [key for key in keys if before.get(key) != golden.get(key) and found.get(key) == before.get(key)]
    both = f"new {', '.join(new)} and old {', '.join(old)}"
    if all(any(key.startswith(MARTS) for key in some) for some in (new, old)):
        return f"part: {both}"
    return both if new and old else "new" if new else "old" if old else "the same"


def honest(found: dict[str, Any], before: dict[str, Any], golden: dict[str, Any]) -> bool:
    """Whether the ledgers and the test results are those of the marts: all from before the build, or all from after it."""
    keys = ("transform_ledger", "mart_ledger", "test_results")
    states = [state for state in (before, golden) if [found[key] for key in keys] == [state[key] for key in keys]]
    return any(_marts(found) == _marts(state) for state in states)


def _marts(content: dict[str, Any]) -> dict[str, str]:
    return {name: digest for name, digest in content["tables"].items() if name.startswith(MARTS)}


def misplaced(fault: str, first: Ended, secret: str) -> str | None:
    """What is wrong with how the first run ended; None when nothing is. A run may succeed: the fault came too late for it."""
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
