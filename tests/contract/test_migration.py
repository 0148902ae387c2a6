"""A schema changes its orchestrator: every ordered pair, with a shadow, a gate, a cutover, and the way back.

`make parity` runs a round in which each orchestrator is once the old one and once the new one; the other way around is
`exhaustive`, as is the gate's refusal, which `tests/integration/test_migration.py` asks of the baseline and the toy.
"""

from __future__ import annotations

from itertools import islice, pairwise, permutations
from pathlib import Path

import pytest

from core.lab.migration import Migration, Plan, Step, Warehouse
from core.lab.registry import BASELINE, orchestrators
from tests.contract.bench import MONTHS, Bench, orchestrator_names

ORCHESTRATORS = orchestrator_names()
THREE, AT = MONTHS[:3], MONTHS[1]

ROUND = list(pairwise([*ORCHESTRATORS, ORCHESTRATORS[0]]))

PAIRS = [
    pytest.param(pair, id="-to-".join(pair), marks=() if pair in ROUND else pytest.mark.exhaustive)
    for pair in permutations(ORCHESTRATORS, 2)
]


def migration(bench: Bench, old: str, new: str, folder: Path, schema: str) -> Migration:
    known = orchestrators(bench.lab.settings)
    plan = Plan(known[old], known[new], known[BASELINE], THREE, [AT], str(folder), schema)
    return Migration(plan, bench.lab.backfills, Warehouse(bench.lab))


def states(step: Step) -> list[tuple[str, dict[str, str]]]:
    """Return what each orchestrator made of each month."""
    return [(load.orchestrator, {each.month: each.state for each in load.result.months}) for load in step.loads]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_schema_migrates_without_a_gap_and_back(bench: Bench, pair: tuple[str, str]) -> None:
    (old, new), schema = pair, bench.schema()
    steps = {step.name: step for step in migration(bench, old, new, bench.folder, schema).steps()}
    assert [step.problem for step in steps.values()] == [""] * 7
    first, at, last = THREE
    assert states(steps["history"]) == [(old, {first: "success"})]
    assert states(steps["shadow"]) == [(old, {at: "success"}), (new, {first: "success", at: "success"})]
    assert states(steps["cut over"]) == [(new, {at: "unchanged", last: "success"})]
    assert states(steps["way back"]) == [(old, dict.fromkeys(THREE, "unchanged"))]
    assert [bench.ledger(schema)[month].loader for month in THREE] == [old, old, new]
    assert bench.tables(schema) == bench.baseline(bench.folder, THREE)


@pytest.mark.exhaustive
def test_the_gate_refuses_while_the_publisher_replaces_a_month(bench: Bench) -> None:
    """The old one has loaded the history as it was, and the shadow has it as it is: neither of them is wrong."""
    (old, new), schema, folder = ORCHESTRATORS[:2], bench.schema(), bench.copy_of(bench.folder)
    done = []
    for step in migration(bench, old, new, folder, schema).steps():
        done.append(step)
        if step.name == "history":
            before = bench.ledger(schema)
            bench.replace(folder, THREE[0])
    assert (done[-1].name, bool(done[-1].problem)) == ("gate", True)
    parity = done[-1].parity
    assert parity is not None
    assert [(cause.kind, cause.months) for cause in parity.causes] == [("other bytes", (THREE[0],))]
    held = bench.ledger(schema)
    assert {month: entry.loader for month, entry in held.items()} == dict.fromkeys(THREE[:2], old)
    assert held[THREE[0]] == before[THREE[0]], "what was loaded is as it was"
    # The same command loads the replaced month, and passes the gate.
    again = list(islice(migration(bench, old, new, folder, schema).steps(), 3))
    assert [(step.name, step.problem) for step in again] == [("history", ""), ("shadow", ""), ("gate", "")]
    assert states(again[0]) == [(old, {THREE[0]: "success"})]
    assert bench.tables(schema) == bench.baseline(folder, THREE[:2])
