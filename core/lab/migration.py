"""A migration of one schema, called production here, from one orchestrator to another.

    history    the old one loads the months before the shadow period
    shadow     at the same time, the old one loads the shadow period, and the new one loads into a schema of its own all
               months that production has by then
    gate       the two schemas must be identical. Until here, the new one has written nothing to production
    cut over   the new one loads the shadow period and all later months into production: nothing is left of the period
               for it to do
    way back   the old one is asked for all months: nothing is left for it to do
    baseline   the baseline loads the same months into a schema of its own
    proof      the two schemas must be identical

The migration ends with the first step after which that does not hold, and production stays as it is then. The same
command begins again: what is loaded is unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from core import ledger
from core.lab import scratch
from core.lab.audit import exists
from core.lab.parity import Parity, compare
from core.lab.protocol import BackfillRequest, BackfillResult
from core.lab.registry import Orchestrator
from core.lab.session import Lab
from core.month import spans
from core.run import DATASET

StepName = Literal["history", "shadow", "gate", "cut over", "way back", "baseline", "proof"]

Backfills = Callable[[Mapping[Orchestrator, BackfillRequest]], Mapping[str, BackfillResult]]
"""Runs the backfills of several orchestrators side by side, and returns their results by name."""


@dataclass(frozen=True)
class Plan:
    """What is migrated. `months` are in order, and `at`, the shadow period, is among them and not the first of them."""

    old: Orchestrator
    new: Orchestrator
    baseline: Orchestrator
    months: Sequence[str]
    at: Sequence[str]
    source: str
    schema: str
    dataset: str = DATASET

    @property
    def before(self) -> list[str]:
        """The months before the shadow period."""
        return [month for month in self.months if month < self.at[0]]

    @property
    def since(self) -> list[str]:
        """The months of the shadow period, and those after it."""
        return [month for month in self.months if month >= self.at[0]]

    @property
    def shadow(self) -> str:
        """The new orchestrator's schema until the cutover."""
        return f"{self.schema}_shadow"

    @property
    def proof(self) -> str:
        """The baseline's schema."""
        return f"{self.schema}_baseline"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as ``triptych migrate --json`` writes it."""
        return {
            "from": self.old.name,
            "to": self.new.name,
            "months": [*self.months],
            "at": [*self.at],
            "source": self.source,
            "schema": self.schema,
            "dataset": self.dataset,
        }


@dataclass(frozen=True)
class Load:
    """What an orchestrator was asked to load into a schema, and what it made of that."""

    orchestrator: str
    schema: str
    months: Sequence[str]
    result: BackfillResult

    @property
    def failed(self) -> list[str]:
        """The months that failed."""
        return [each.month for each in self.result.months if each.state == "failed"]

    @property
    def changed(self) -> list[str]:
        """The months that are not as they were before."""
        return [each.month for each in self.result.months if each.state != "unchanged"]


@dataclass(frozen=True)
class Step:
    """A step that has ended: what was loaded, or how two schemas compare. `problem` says why there is no next one."""

    name: StepName
    loads: Sequence[Load] = ()
    parity: Parity | None = None
    problem: str = ""
    seconds: float = 0.0
    """How long it took, with the start of the services."""

    def to_json(self) -> dict[str, Any]:
        """Return the step as ``triptych migrate --json`` writes it."""
        loads = [
            {"orchestrator": each.orchestrator, **each.result.to_json(), "schema": each.schema} for each in self.loads
        ]
        return {
            "step": self.name,
            "seconds": round(self.seconds, 3),
            "backfills": loads,
            "parity": self.parity and self.parity.to_json(),
            "problem": self.problem or None,
        }


class Warehouse:
    """What a migration asks of the warehouse."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def check(self, plan: Plan) -> None:
        """Raise `UsageError` when a schema that is written holds another dataset, or is somebody else's."""
        self._lab.check_holds([plan.schema], plan.dataset)
        with self._lab.connect() as connection:
            scratch.check(connection, [plan.shadow, plan.proof])

    def loaded(self, schema: str) -> dict[str, str]:
        """Return who has loaded each month of a schema, by month, in order."""
        with self._lab.connect() as connection:
            entries = ledger.entries(connection, schema) if exists(connection, schema, "load_ledger") else ()
            return {f"{each.month:%Y-%m}": each.loader for each in entries if each.month}

    def make(self, schema: str) -> None:
        """Make an empty schema for this migration."""
        with self._lab.connect() as connection:
            scratch.make(connection, schema)

    def drop(self, *schemas: str) -> None:
        """Drop schemas that were made for this migration."""
        with self._lab.connect() as connection:
            scratch.drop(connection, schemas)

    def compare(self, first: str, second: str) -> Parity:
        """Compare all tables of two schemas, the first as the baseline."""
        with self._lab.connect() as connection:
            return compare(connection, [first, second], first)


@dataclass(frozen=True)
class Migration:
    """The steps of a plan, which load through `backfills` and compare in `warehouse`."""

    plan: Plan
    backfills: Backfills
    warehouse: Warehouse

    def steps(self) -> Iterator[Step]:
        """Do one step after the other, and yield each when it has ended. One with a `problem` is the last one.

        After the last step, the schemas that were made for the migration are dropped. Those of one that ends early
        stay, for a person to look at, until the next one.
        """
        doing: tuple[Callable[[], Step], ...] = (
            self._history, self._shadow, self._gate, self._cut_over, self._way_back, self._baseline, self._proof,
        )  # fmt: skip
        for do in doing:
            began = time.monotonic()
            done = do()
            yield replace(done, seconds=time.monotonic() - began)
            if done.problem:
                return
        self.warehouse.drop(self.plan.shadow, self.plan.proof)

    def _history(self) -> Step:
        return self._load("history", (self.plan.old, self.plan.schema, self.plan.before))

    def _shadow(self) -> Step:
        plan = self.plan
        self.warehouse.make(plan.shadow)
        # All of it, and not the shadow period alone: a date may have trips of several months' files, so the marts of
        # the period would differ for the months that the new one has not loaded.
        every = sorted({*self.warehouse.loaded(plan.schema), *plan.before, *plan.at})
        return self._load("shadow", (plan.old, plan.schema, plan.at), (plan.new, plan.shadow, every))

    def _gate(self) -> Step:
        return self._compare("gate", self.plan.shadow)

    def _cut_over(self) -> Step:
        plan = self.plan
        done = self._load("cut over", (plan.new, plan.schema, plan.since))
        again = [month for month in done.loads[0].changed if month in plan.at]
        return self._unless_again(done, again)

    def _way_back(self) -> Step:
        done = self._load("way back", (self.plan.old, self.plan.schema, self.plan.months))
        return self._unless_again(done, done.loads[0].changed)

    def _baseline(self) -> Step:
        plan = self.plan
        self.warehouse.make(plan.proof)
        return self._load("baseline", (plan.baseline, plan.proof, [*self.warehouse.loaded(plan.schema)]))

    def _proof(self) -> Step:
        return self._compare("proof", self.plan.proof)

    def _load(self, name: StepName, *asked: tuple[Orchestrator, str, Sequence[str]]) -> Step:
        """Let each orchestrator load months into a schema, side by side."""
        plan = self.plan
        results = self.backfills(
            {one: BackfillRequest([*months], plan.source, to, dataset=plan.dataset) for one, to, months in asked}
        )
        loads = [Load(one.name, to, months, results[one.name]) for one, to, months in asked]
        failed = [f"{each.orchestrator} failed on {spans(months)}" for each in loads if (months := each.failed)]
        return Step(name, loads, problem=" and ".join(failed))

    def _unless_again(self, done: Step, again: Sequence[str]) -> Step:
        """Return the step, with a problem if it has none and these months were loaded again."""
        if done.problem or not again:
            return done
        (load,) = done.loads
        problem = f"{load.orchestrator} loaded {spans(again)} again, because files or rows have changed since"
        return replace(done, problem=problem)

    def _compare(self, name: StepName, other: str) -> Step:
        parity = self.warehouse.compare(self.plan.schema, other)
        problem = "" if parity.identical else f"{self.plan.schema} and {other} are not identical"
        return Step(name, parity=parity, problem=problem)


def migration_json(plan: Plan, steps: Sequence[Step], loaded: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what ``triptych migrate --json`` writes. `loaded` is None for a migration that was interrupted."""
    is_complete = loaded is not None and not steps[-1].problem
    return {
        **plan.to_json(),
        "complete": is_complete,
        "problem": (steps[-1].problem or None) if steps else None,
        "steps": [step.to_json() for step in steps],
        "loaded": loaded,
    }
