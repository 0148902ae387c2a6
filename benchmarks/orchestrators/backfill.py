"""What a backfill costs on each orchestrator and on the baseline, through the runner protocol.

    python -m benchmarks.orchestrators.backfill [--months MONTHS] [--rows N] [--rounds N]

Each orchestrator has three turns in a round, in a lab session in which no other orchestrator's services run:

    start      the services come up; PostgreSQL runs, and only in the first round are there databases to make
    load       MONTHS are new: extract, load, transform, check
    unchanged  the same months again, which finds that nothing is to be done: nearly the orchestrator's own cost

dbt is warm before `load` begins. The services take longer to start than that takes; the baseline has none, and its
first build would wait for it.

Settings are the adapters' own, so these are figures of tuned orchestrators. CPU seconds are the machine's, whatever
spends them: the orchestrator, PostgreSQL, dbt and the lab. Memory is that of the orchestrator's processes alone. Both
are also in each row by role (`benchmarks.orchestrators.roles`), beside the statements in the orchestrator's database
and its growth (`benchmarks.orchestrators.metadata`). After the clock has stopped, the orchestrator is asked for its
records of the months, which say where their seconds went (`benchmarks.orchestrators.stages`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import place
from benchmarks.orchestrators.metadata import Metadata, counted
from benchmarks.orchestrators.role_meters import CpuByRole, MemoryByRole
from benchmarks.orchestrators.roles import Roles
from benchmarks.orchestrators.stages import recorded, stages
from benchmarks.orchestrators.watch import Memory, Meter, measured
from core.extract import sample
from core.lab.processes import members
from core.lab.protocol import BackfillRequest
from core.lab.registry import Orchestrator, select
from core.lab.runs import Runs
from core.lab.session import Lab
from core.month import parse_months
from core.settings import ROOT, Settings
from core.transform.dbt import scratch_environment
from core.transform.dbt_client import call, socket_path
from core.waiting import until

WARM_S = 60.0
"""How long the warm dbt server may take to be started."""


def turns(at: Settings, orchestrator: Orchestrator, request: BackfillRequest) -> Iterator[Row]:
    """Take the three turns of one orchestrator, in a lab session of its own."""
    with Lab(at) as lab:
        metadata = Metadata.of(lab, orchestrator, at)
        with measured(Memory(at.home / orchestrator.name), [metadata]) as row:
            lab.start([orchestrator])
        yield {"turn": "start", **row, "dbt": "warm" if wait_for_dbt(at) else "cold"}
        roles = Roles.of(lab, orchestrator, at)
        meters: list[Meter] = [metadata, CpuByRole(roles)]
        for turn, state in (("load", "success"), ("unchanged", "unchanged")):
            with measured(MemoryByRole(roles), meters) as row:
                since = time.time()
                result = lab.backfill(orchestrator, request)
                until = time.time()
            odd = {each.month: each.error or each.state for each in result.months if each.state != state}
            if odd:
                raise measure.BenchmarkError(f"{orchestrator.name}: months that did not end as {state}: {odd}")
            runs = recorded(Runs(lab, orchestrator), len(request.months), since)
            yield {"turn": turn, **row, "runner_s": result.seconds, **stages(runs, since, until)}


def wait_for_dbt(at: Settings) -> bool:
    """Return whether the session has a warm dbt server, once that is warm; without one, each build starts dbt cold."""
    server = socket_path(at.home, at.dbt)
    # It ends at once where its socket can't be, as below a long path.
    until(lambda: server.exists() or not members(server.parent) or None, WARM_S, 0.05, "the start of the dbt server")
    with tempfile.TemporaryFile() as unread:
        # A call waits in the queue until the server is warm.
        words, unread_fd = ["--help"], unread.fileno()
        return call(server, words, cwd=ROOT, env=scratch_environment(), stdout=unread_fd, stderr=unread_fd) is not None


def rows(at: Settings, chosen: Iterable[Orchestrator], months: list[str], source: str, rounds: int) -> Iterator[Row]:
    """Yield a row for each turn, all orchestrators of a round before the next round."""
    for number in range(1, rounds + 1):
        for each in chosen:
            # A schema for each round: its months are new.
            request = BackfillRequest(months, source, f"{each.name}_{number}")
            for row in turns(at, each, request):
                yield {"orchestrator": each.name, "round": number, "months": len(months), **row}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.backfill", description=__doc__.splitlines()[0])
    parser.add_argument("--months", default="2024-01..2024-12")
    parser.add_argument("--rows", type=int, default=60_000, help="rows of a month")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    months, found = parse_months(asked.months), []
    with place.state() as at:
        counted(at)
        source = at.home.parent / "published"
        sample.ensure(source, months, rows=asked.rows)
        chosen = select(asked.on, at)
        facts = {**place.facts(at, chosen), "rows_a_month": asked.rows}
        for row in rows(at, chosen, list(map(str, months)), str(source), asked.rounds):
            took = f"{row['wall_s']:7.2f} s"
            print(f"{row['orchestrator']:<9} round {row['round']}  {row['turn']:<10}{took}", flush=True)
            found.append(row)
        if all(row["dbt"] == "warm" for row in found if row["turn"] == "start"):
            facts["dbt"] = "warm"
    print(os.path.relpath(measure.write("backfill", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
