"""Ask reported faults of all orchestrators: ``triptych conformance``, which `make conformance` calls for all of them.

    triptych conformance [CASE...] --on TOOLS [--repeat N] [--json FILE|-] [--again] [--compare OLD.json]

One orchestrator after the other, on services of its own that end afterwards. With a file, each cell is written as soon
as it is there, with its log beside it. A cell that the file has already, of this version, these settings and this code,
is not asked again, unless its case is named or with ``--again``: an interrupted run goes on where it was.

Exit code 1 when a verdict is not the expected one or a cell could not be asked, 2 for a wrong call.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import TriptychError, UsageError
from core.lab import driver
from core.lab.protocol import Description
from core.lab.protocol.tuning import VARIABLE
from core.lab.registry import select
from core.settings import settings
from tests.conformance import compare, running
from tests.conformance.cases import ORCHESTRATORS, PACKAGE, Case, cases
from tests.conformance.cells import Cell, Cells, as_json, is_recorded, log_of, read, write
from tests.contract.bench import Bench, opened
from tests.questions.asking import Asking

STDOUT = Path("-")


@dataclass
class Results:
    """The cells so far. With a file, each new one is written at once."""

    path: Path | None
    cells: Cells = field(default_factory=dict)
    asked: Cells = field(default_factory=dict)
    """Those of this call."""

    def add(self, cell: Cell, log: str) -> None:
        """Add a cell, in place of an older one."""
        self.cells[cell.key] = self.asked[cell.key] = cell
        if self.path:
            place = log_of(self.path, *cell.key)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(log)
            write(self.path, self.cells.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, and return the exit code."""
    try:
        return run(parsed(argv))
    except UsageError as error:
        print(f"triptych: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("triptych: interrupted: the same command goes on with the cells that are left", file=sys.stderr)
        return int(getattr(error, "code", 130))


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(prog="triptych conformance", description=str(__doc__).splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which (default: all)")
    parser.add_argument("--on", default="all", help="the orchestrators, comma separated, or all")
    parser.add_argument("--repeat", type=int, metavar="N", help="ask each case so often (default: as the case says)")
    parser.add_argument("--json", type=Path, metavar="FILE|-", help="write the cells there; - is standard output")
    parser.add_argument("--again", action="store_true", help="also ask the cells that the file has")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="then print what differs from an older file")
    return parser.parse_args(argv)


def run(asked: argparse.Namespace) -> int:
    """Ask what the arguments say, and return the exit code."""
    chosen, tools = chosen_cases(asked.cases), chosen_tools(asked.on)
    if asked.repeat is not None and asked.repeat < 1:
        raise UsageError(f"--repeat {asked.repeat}: write 1 or more")
    if asked.compare and not asked.compare.exists():
        raise UsageError(f"--compare {asked.compare}: there is no such file")
    old = read(asked.compare) if asked.compare else {}
    path = asked.json if asked.json and asked.json != STDOUT else None
    if path and not path.absolute().parent.is_dir():
        raise UsageError(f"--json {path}: there is no folder {path.absolute().parent}")
    results = Results(path, read(path) if path else {})
    # Otherwise what a program reads would begin with what a person reads.
    out = sys.stderr if asked.json == STDOUT else sys.stdout
    failed = [put(chosen, tool, results, asked, out) for tool in tools]
    if asked.json == STDOUT:
        print(json.dumps(as_json(results.asked.values()), indent=1))
    if asked.compare:
        keys = {(case.name, tool) for case in chosen for tool in tools}
        before, now = ({key: cells[key] for key in keys & cells.keys()} for cells in (old, results.cells))
        print("\n".join(compare.lines(before, now)), file=out)
    return int(any(failed))


def chosen_cases(names: Sequence[str]) -> list[Case]:
    """Return the named cases, or all. Raise `UsageError` naming one that there is not."""
    known = cases()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"there is no case {unknown[0]!r}: choose from {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or list(known.values())


def chosen_tools(on: str) -> list[str]:
    """Return the orchestrators that are asked. Raise `UsageError` naming one of which no case expects anything."""
    names = list(ORCHESTRATORS) if on == "all" else [name.strip() for name in on.split(",")]
    for name in names:
        if name not in ORCHESTRATORS:
            raise UsageError(f"--on {name}: the cases are for {', '.join(ORCHESTRATORS)}")
    return [each.name for each in select(",".join(names), settings())]


def put(chosen: Sequence[Case], tool: str, results: Results, asked: argparse.Namespace, out: Any) -> bool:
    """Ask one orchestrator. Return whether a verdict is not the expected one, or a cell could not be asked."""
    failed, todo, description = False, [], described(tool)
    for case in chosen:
        recorded = results.cells.get((case.name, tool))
        like = running.wanted(case, description, asked.repeat)
        if recorded is None or asked.again or asked.cases or not is_recorded(recorded, like):
            todo.append(case)
            continue
        print(f"{case.name} on {tool}: {recorded.words} (recorded {recorded.at[:10]})", file=out, flush=True)
        failed |= recorded.verdict != case.expected[tool].verdict
    # Even without services, a lab starts a server for the warehouse.
    if todo:
        with bench_for(tool) as bench:
            for number, case in enumerate(todo, 1):
                print(f"[{number}/{len(todo)}] {case.name} on {tool}: asking", file=out, flush=True)
                failed |= not one(case, Asking(bench, tool), results, asked.repeat, out)
    return failed


def described(tool: str) -> Description:
    """Return what an orchestrator's runner says of it, without any service."""
    (orchestrator,) = select(tool, settings())
    return driver.describe(orchestrator, settings())


def one(case: Case, asking: Asking, results: Results, repeat: int | None, out: Any) -> bool:
    """Ask one cell, and return whether its verdict is the expected one."""
    try:
        cell, log = running.ask(case, asking, repeat)
    except TriptychError as error:
        print(f"  {case.name} on {asking.orchestrator} could not be asked: {error}", file=out, flush=True)
        return False
    results.add(cell, log)
    wanted = case.expected[asking.orchestrator].verdict
    is_expected = cell.verdict == wanted
    print(f"  {cell.words} in {cell.seconds:.0f} s", file=out, flush=True)
    if not is_expected:
        print(f"  EXPECTED {wanted}: observed {json.dumps(cell.observed)}", file=out, flush=True)
    return is_expected


@contextmanager
def bench_for(tool: str) -> Iterator[Bench]:
    """Open a lab of its own, in which the services of one orchestrator load all cases."""
    variables = {VARIABLE: ",".join(running.AS_SHIPPED)}
    with (
        tempfile.TemporaryDirectory(prefix="triptych-conformance-") as folder,
        opened(Path(folder), PACKAGE, variables) as bench,
    ):
        yield bench


if __name__ == "__main__":
    sys.exit(main())
