"""Ask what is behind the claims that circulate, and record it: what `make bench-folklore` calls.

    python -m benchmarks.folklore [--folder FOLDER]     run every check, and write folklore.json
    python -m benchmarks.folklore CLAIM...              show the figures of some claims, and write nothing

A claim that has a check of its own runs it; the figures of the others are those that are recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.folklore import checks
from benchmarks.folklore.claim import Claim
from benchmarks.folklore.claims import CLAIMS
from benchmarks.folklore.results import Results
from benchmarks.harness import measure
from benchmarks.harness.measure import Row


def rows(names: Iterable[str], at: measure.Server) -> Iterator[Row]:
    """Run checks one after the other, and yield their results."""
    for name in names:
        row = checks.run(name, at)
        print(f"{name:<16} {row['seconds']:6.1f} s", file=sys.stderr, flush=True)
        yield row


def show(chosen: Iterable[Claim], found: Results) -> bool:
    """Print claims with their figures; return whether the figures bear out every verdict."""
    verdicts = []
    for claim in chosen:
        evidence = claim.evidence(found)
        doubt = "" if evidence.bears_out else " NO LONGER BORNE OUT by these figures."
        print(f'"{claim.text}" {claim.verdict.capitalize()}.{doubt}\n{evidence.figure}')
        verdicts.append(evidence.bears_out)
    return all(verdicts)


def shown(chosen: Iterable[Claim]) -> list[Row]:
    """Run the checks of some claims, and return their results; without a check, start nothing."""
    needed = [*dict.fromkeys(claim.check for claim in chosen if claim.check)]
    if not needed:
        return []
    with measure.server() as at:
        return [*rows(needed, at)]


def record(folder: Path) -> int:
    """Run every check and write its results; return 1 when a verdict is not borne out."""
    with measure.server() as at:
        facts = checks.about(at)
        found = [*rows(checks.CHECKS, at)]
    print(measure.write("folklore", facts, found, folder))
    results = Results(found)
    return int(not show([claim for claim in CLAIMS if not claim.evidence(results).bears_out], results))


def main(argv: list[str] | None = None) -> int:
    """Run checks; return 1 when a verdict is not borne out."""
    known = {claim.name: claim for claim in CLAIMS}
    parser = argparse.ArgumentParser(prog="benchmarks.folklore", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="CLAIM", help=f"which (default: run every check): {', '.join(known)}"
    )
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"there is no claim {unknown[0]!r}: choose from {', '.join(known)}")
    if asked.names:
        chosen = [known[name] for name in asked.names]
        return int(not show(chosen, Results(shown(chosen))))
    return record(asked.folder)


if __name__ == "__main__":
    sys.exit(main())
