"""What a month costs on each orchestrator when its steps do nothing: tuned, as shipped, and without each setting.

    python -m benchmarks.orchestrators.floor [--months 1,3,12,60] [--rounds N] [--rounds-untuned N] [--on NAMES]

The pipeline has the shape of the taxi pipeline (`benchmarks.orchestrators.shapes.NO_OP`), and the month is the unit of
run, retry and history. Each orchestrator is measured

    tuned           with the settings of its adapter
    shipped         with its own defaults in place of those that the adapter changes for speed
    without NAME    tuned, but for one setting, which is as shipped: what that one alone changes

each time in a lab session of its own, in which no other orchestrator's services run. What is set for safety stays as it
is in all three. What is not tuned takes minutes, most of them in polls: it is measured in fewer rounds, and with
`ONE_BY_ONE` months at most, as shipped also with the fewest. A larger number of months is measured in the first round
only. TRIPTYCH_AS_SHIPPED=NAME has any other command run the same
way.

``wall_s`` is of an outside clock, from the wish to the answer of the lab's runner; ``runs_s`` is the orchestrator's
own, from the start of the first month to the end of the last one. What lies between the two are polls and queues.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, repeat
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import place
from benchmarks.orchestrators.shapes import NO_OP
from benchmarks.orchestrators.watch import Memory, measured
from core.lab.protocol import BackfillRequest, BackfillResult, Tuned
from core.lab.protocol.tuning import ALL, VARIABLE
from core.lab.registry import Orchestrator
from core.lab.session import Lab
from core.month import Month
from core.settings import Settings

FIRST = Month.parse("2014-01")
"""The first of the months."""

TUNED, SHIPPED = "tuned", "shipped"

ONE_BY_ONE = 12
"""With how many months the settings are measured one by one."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    months: Sequence[int]
    rounds: int
    untuned: int
    """In how many of the rounds what is not tuned is measured too."""


def variants(tuned: Sequence[Tuned]) -> dict[str, str]:
    """Return what is measured of an orchestrator: the settings that stay as shipped, by the name of the variant."""
    one_by_one = {f"without {each.name}": each.name for each in tuned}
    # Without a single setting, all is as shipped.
    return {TUNED: "", SHIPPED: ALL, **(one_by_one if len(tuned) > 1 else {})}


def months_from(first: Month, count: int) -> list[str]:
    """Return the names of `count` months."""
    return list(map(str, islice(accumulate(repeat(first), lambda month, _: month.next()), count)))


def counts(variant: str, plan: Plan, number: int) -> list[int]:
    """Return with how many months a variant is measured in a round, if at all: see the module's docstring."""
    if variant != TUNED and number > plan.untuned:
        return []
    if variant == TUNED and number == 1:
        return list(plan.months)
    few = [count for count in plan.months if count <= ONE_BY_ONE] or [min(plan.months)]
    if variant == TUNED:
        return few
    return sorted({few[0], few[-1]}) if variant == SHIPPED else few[-1:]


def request(count: int) -> BackfillRequest:
    """Return the backfill of so many months, whose runs get no parameters."""
    return BackfillRequest(months_from(FIRST, count), "", "", pipeline=NO_OP.name, values={})


def runs_s(result: BackfillResult) -> float:
    """Return the seconds from the start of the first month to the end of the last one, by the orchestrator's clock."""
    starts = [dt.datetime.fromisoformat(each.started_at) for each in result.months if each.started_at]
    ends = [dt.datetime.fromisoformat(each.ended_at) for each in result.months if each.ended_at]
    return round((max(ends) - min(starts)).total_seconds(), 3)


def turn(at: Settings, orchestrator: Orchestrator, months: Sequence[int]) -> Iterator[Row]:
    """Take the turn of one variant of an orchestrator, whose settings are in `at`."""
    with Lab(at) as lab:
        lab.start([orchestrator])
        for count in months:
            with measured(Memory(at.home / orchestrator.name)) as row:
                result = lab.backfill(orchestrator, request(count))
            failed = {each.month: each.error for each in result.months if each.state == "failed"}
            if failed:
                raise measure.BenchmarkError(f"{orchestrator.name}: months of {NO_OP.name} that failed: {failed}")
            yield {"months": count, **row, "runs_s": runs_s(result)}


def rows(at: Settings, chosen: Sequence[Orchestrator], plan: Plan) -> Iterator[Row]:
    """Yield a row for each backfill, all variants of a round before the next round."""
    with Lab(at) as lab:
        tuned = {each.name: lab.stack(each).description.tuned for each in chosen}
    for number in range(1, plan.rounds + 1):
        for orchestrator in chosen:
            for variant, left in variants(tuned[orchestrator.name]).items():
                if not (months := counts(variant, plan, number)):
                    continue
                here = place.passing_on(at, {**place.SUBJECTS, VARIABLE: left})
                for row in turn(here, orchestrator, months):
                    yield {"orchestrator": orchestrator.name, "settings": variant, "round": number, **row}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.floor", description=__doc__.splitlines()[0])
    parser.add_argument("--months", default="1,3,12,60", help="numbers of months, comma separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rounds-untuned", type=int, default=1, help="of these, with what is not tuned")
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    found: list[dict[str, Any]] = []
    with place.state() as at:
        chosen = place.with_services(asked.on, at)
        facts = {**place.facts(at, chosen), "settings": place.settings_of(at, chosen)}
        plan = Plan(sorted(int(count) for count in asked.months.split(",")), asked.rounds, asked.rounds_untuned)
        for row in rows(at, chosen, plan):
            print(f"{row['orchestrator']:<9} round {row['round']}  {row['settings']:<50}{row['months']:3} months"
                  f"{row['wall_s']:8.2f} s", flush=True)  # fmt: skip
            found.append(row)
    print(os.path.relpath(measure.write("floor", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
