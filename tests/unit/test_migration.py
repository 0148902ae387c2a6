"""A migration stops at the first step that does not end as it must, and until the gate production is the old one's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.digest import Digest
from core.lab import display
from core.lab.compare import Row
from core.lab.migration import Migration, Plan, Step, Warehouse, migration_json
from core.lab.parity import Parity
from core.lab.protocol import BackfillRequest, BackfillResult, MonthRecord
from core.lab.registry import Orchestrator

OLD, NEW, PLAIN = (Orchestrator(name, "m", Path("python"), Path()) for name in ("old", "new", "plain"))
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04"]
PLAN = Plan(OLD, NEW, PLAIN, MONTHS, ["2024-03"], "sample", "prod")

COMPLETE = [
    "old 2024-01..2024-02 -> prod: 2 success",
    "old 2024-03 -> prod: 1 success",
    "new 2024-01..2024-03 -> prod_shadow: 3 success",
    "new 2024-03..2024-04 -> prod: 1 success, 1 unchanged",
    "old 2024-01..2024-04 -> prod: 4 unchanged",
    "plain 2024-01..2024-04 -> prod_baseline: 4 success",
]


@dataclass
class World(Warehouse):
    """A warehouse and orchestrators of a few lines: a month is loaded when its published version is not there."""

    published: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MONTHS, 1))
    schemas: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)
    """By schema and month, who loaded it, and which version."""
    failing: set[tuple[str, str]] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    """The orchestrators that load other rows than they were given."""
    calls: list[list[str]] = field(default_factory=list)

    def backfills(self, requests: Mapping[Orchestrator, BackfillRequest]) -> dict[str, BackfillResult]:
        self.calls.append([f"{each.name} {asked.schema}" for each, asked in requests.items()])
        return {each.name: self._backfill(each.name, asked) for each, asked in requests.items()}

    def _backfill(self, name: str, asked: BackfillRequest) -> BackfillResult:
        records = []
        held = self.schemas.setdefault(asked.schema, {})
        for month in asked.months:
            version = -self.published[month] if name in self.wrong else self.published[month]
            if (name, month) in self.failing:
                records.append(MonthRecord(month, "failed", error=f"{month}: no such file"))
            elif held.get(month, ("", 0))[1] in (version, -version):
                records.append(MonthRecord(month, "unchanged"))
            else:
                held[month] = (name, version)
                records.append(MonthRecord(month, "success"))
        return BackfillResult.of("1.0", 0.0, records)

    def loaded(self, schema: str) -> dict[str, str]:
        return {month: loader for month, (loader, _) in sorted(self.schemas.get(schema, {}).items())}

    def make(self, schema: str) -> None:
        self.schemas[schema] = {}

    def drop(self, *schemas: str) -> None:
        for schema in schemas:
            del self.schemas[schema]

    def compare(self, first: str, second: str) -> Parity:
        held = {
            schema: {month: Digest(1, (version, 0)) for month, (_, version) in self.schemas[schema].items()}
            for schema in (first, second)
        }
        return Parity(first, [first, second], [], [Row("raw_trips", held)], [], audited=False)


def run(world: World, plan: Plan = PLAN, between: Callable[[Step], object] = lambda step: None) -> list[Step]:
    """Do all steps of a plan, and something after each."""
    steps = []
    for step in Migration(plan, world.backfills, world).steps():
        steps.append(step)
        between(step)
    return steps


def loads(steps: list[Step]) -> list[str]:
    """Return what each orchestrator did, as it is shown, without the step and the seconds."""
    lines = [line for step in steps for line in display.migration_step(step) if " -> " in line]
    return [" ".join(line[10:].split()).rsplit(" in ", 1)[0] for line in lines]


@pytest.fixture
def world() -> World:
    return World()


def test_all_steps_come_in_order_and_leave_one_schema(world: World) -> None:
    steps = run(world)
    assert [step.name for step in steps] == [
        "history", "shadow", "gate", "cut over", "way back", "baseline", "proof",
    ]  # fmt: skip
    assert loads(steps) == COMPLETE
    assert world.calls[1] == ["old prod", "new prod_shadow"], "both at once"
    assert world.schemas == {
        "prod": {"2024-01": ("old", 1), "2024-02": ("old", 1), "2024-03": ("old", 1), "2024-04": ("new", 1)}
    }
    assert [*display.migration_closing(PLAN, steps, world.loaded("prod"))] == [
        "prod holds 2024-01..2024-03 by old, 2024-04 by new; prod_shadow and prod_baseline are dropped",
        "complete in 0.0 s: no month was loaded twice, and prod equals what the baseline loads",
    ]


def test_a_second_migration_loads_nothing_in_production(world: World) -> None:
    run(world)
    before = dict(world.schemas["prod"])
    steps = run(world)
    assert not steps[-1].problem
    assert [line for line in loads(steps) if "-> prod:" in line and "success" in line] == []
    assert "new 2024-01..2024-04 -> prod_shadow: 4 success" in loads(steps), "the gate compares whole tables"
    assert world.schemas == {"prod": before}


def test_the_shadow_period_may_have_several_months(world: World) -> None:
    plan = Plan(OLD, NEW, PLAIN, MONTHS, ["2024-02", "2024-03"], "sample", "prod")
    assert loads(run(world, plan))[:4] == [
        "old 2024-01 -> prod: 1 success",
        "old 2024-02..2024-03 -> prod: 2 success",
        "new 2024-01..2024-03 -> prod_shadow: 3 success",
        "new 2024-02..2024-04 -> prod: 1 success, 2 unchanged",
    ]


def test_the_shadow_has_what_production_held_before(world: World) -> None:
    world.published["2023-12"] = 1
    world.schemas["prod"] = {"2023-12": ("somebody", 1)}
    steps = run(world)
    assert "new 2023-12..2024-03 -> prod_shadow: 4 success" in loads(steps)
    assert "plain 2023-12..2024-04 -> prod_baseline: 5 success" in loads(steps)
    assert not steps[-1].problem


@pytest.mark.parametrize("why", ["a wrong loader", "a file that was replaced"])
def test_the_gate_refuses_and_production_is_the_old_ones(world: World, why: str) -> None:
    def replace_a_file(step: Step) -> None:
        if step.name == "history" and why == "a file that was replaced":
            world.published["2024-01"] = 2

    world.wrong = {"new"} if why == "a wrong loader" else set()
    steps = run(world, between=replace_a_file)
    last = steps[-1]
    assert (last.name, last.problem) == ("gate", "prod and prod_shadow are not identical")
    assert last.parity is not None
    differ = MONTHS[:3] if why == "a wrong loader" else MONTHS[:1]
    assert last.parity.rows[0].months == {"prod_shadow": differ}
    assert world.schemas["prod"] == dict.fromkeys(MONTHS[:3], ("old", 1)), "complete, and by nobody else"
    assert "prod_shadow" in world.schemas, "it can be looked at"
    assert [*display.migration_step(last)] == ["gate      1 table of prod and prod_shadow: different in 0.0 s"]
    assert [*display.migration_closing(PLAN, steps, world.loaded("prod"))] == [
        "prod holds 2024-01..2024-03 by old; prod_shadow is left for a look",
        "stopped at the step gate: prod and prod_shadow are not identical; new has written nothing to prod",
    ]
    world.wrong = set()
    assert not run(world)[-1].problem, "the same command makes another shadow"
    assert [*world.schemas] == ["prod"]


@pytest.mark.parametrize(
    ("failing", "step", "problem"),
    [
        ({("old", "2024-02")}, "history", "old failed on 2024-02"),
        ({("old", "2024-03")}, "shadow", "old failed on 2024-03"),
        ({("old", "2024-03"), ("new", "2024-01"), ("new", "2024-02")}, "shadow",
         "old failed on 2024-03 and new failed on 2024-01..2024-02"),
        ({("new", "2024-04")}, "cut over", "new failed on 2024-04"),
        ({("old", "2024-04")}, "way back", "old failed on 2024-04"),
        ({("plain", "2024-01")}, "baseline", "plain failed on 2024-01"),
    ],
)  # fmt: skip
def test_a_failed_month_ends_it(world: World, failing: set[tuple[str, str]], step: str, problem: str) -> None:
    world.failing = failing
    steps = run(world)
    assert (steps[-1].name, steps[-1].problem) == (step, problem)
    assert any(line.endswith(" failed: no such file") for line in display.migration_step(steps[-1]))
    if step in ("history", "shadow"):
        assert {loader for loader, _ in world.schemas["prod"].values()} == {"old"}
    world.failing = set()
    assert not run(world)[-1].problem, "the same command goes on with the rest"


@pytest.mark.parametrize(
    ("after", "month", "problem"),
    [
        ("gate", "2024-03", "new loaded 2024-03 again, because files or rows have changed since"),
        ("cut over", "2024-04", "old loaded 2024-04 again, because files or rows have changed since"),
    ],
)
def test_a_month_that_is_loaded_again_ends_it(world: World, after: str, month: str, problem: str) -> None:
    def replace_a_file(step: Step) -> None:
        if step.name == after:
            world.published[month] = 2

    assert run(world, between=replace_a_file)[-1].problem == problem


def test_a_difference_from_the_baseline_ends_it(world: World) -> None:
    world.wrong = {"plain"}
    steps = run(world)
    assert (steps[-1].name, steps[-1].problem) == ("proof", "prod and prod_baseline are not identical")
    left, _ = display.migration_closing(PLAN, steps, world.loaded("prod"))
    assert left.endswith("; prod_shadow and prod_baseline are left for a look")


def test_the_baseline_may_be_either_side(world: World) -> None:
    plan = Plan(PLAIN, NEW, PLAIN, MONTHS, ["2024-03"], "sample", "prod")
    assert loads(run(world, plan)) == [line.replace("old", "plain") for line in COMPLETE]


def test_the_json_has_the_same_facts(world: World) -> None:
    steps = run(world)
    facts = migration_json(PLAN, steps, world.loaded("prod"))
    assert json.loads(json.dumps(facts)) == facts
    assert {name: facts[name] for name in ("from", "to", "months", "at", "schema", "complete", "problem")} == {
        "from": "old", "to": "new", "months": MONTHS, "at": ["2024-03"], "schema": "prod", "complete": True,
        "problem": None,
    }  # fmt: skip
    assert facts["loaded"] == {"2024-01": "old", "2024-02": "old", "2024-03": "old", "2024-04": "new"}
    shadow, gate = facts["steps"][1:3]
    assert [(each["orchestrator"], each["schema"]) for each in shadow["backfills"]] == [
        ("old", "prod"), ("new", "prod_shadow"),
    ]  # fmt: skip
    assert gate["parity"]["verdict"] == "identical"


def test_the_json_of_an_interrupted_migration_is_not_complete(world: World) -> None:
    assert migration_json(PLAN, [])["complete"] is False
    facts = migration_json(PLAN, run(world)[:2])
    assert (facts["complete"], facts["problem"], facts["loaded"], len(facts["steps"])) == (False, None, None, 2)
