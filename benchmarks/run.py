"""Run benchmarks one after the other, and render their pages: what `make bench-load` and its kin call.

    python -m benchmarks.run load_race growth [--quick]

Each is a process of its own. One that fails is told at the end, in the exit code as well, and costs the others nothing.
With ``--quick`` each takes seconds: toy figures, which go with their pages to the state folder and not to the repository.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks import measure, report
from core.settings import ROOT, settings

QUICK = {
    "load_race": "--rows 2000 --rounds 1",
    "digest_race": "--rows 2000 --rounds 1",
    "growth": "--rows 2000 --months 1,2 --rounds 1",
    "claims": "--delays 0 --rounds 1",
    "transform_times": "--rows 2000 --loaded 2,3 --rounds 1",
    "soak": "--kills 10 --contrast 10",
    "kill_points": "--step load --sample 1 --only zones",
}
"""Module -> with what it takes seconds. By itself, each measures what is published."""


def main(argv: list[str] | None = None) -> int:
    """Run what is named; give 1 when one of them failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="+", choices=QUICK, metavar="MODULE", help=", ".join(QUICK))
    parser.add_argument("--quick", action="store_true", help="a trial of seconds, published nowhere")
    asked = parser.parse_args(argv)
    folder = settings().home / "benchmarks" if asked.quick else measure.RESULTS
    failed = []
    for number, module in enumerate(asked.modules, 1):
        print(f"--- {module} ({number} of {len(asked.modules)})", flush=True)
        began = time.monotonic()
        arguments = ["--folder", str(folder), *(QUICK[module].split() if asked.quick else [])]
        try:
            code = call([sys.executable, "-m", f"benchmarks.{module}", *arguments])
        except KeyboardInterrupt:
            return 130
        ended = f"FAILED, exit code {code}" if code else "done"
        print(f"--- {module}: {ended}, {time.monotonic() - began:.0f} s", flush=True)
        failed += [module] if code else []
    report.main(["--folder", str(folder)])
    if failed:
        print(f"benchmarks: {', '.join(failed)} failed: see above; the others' results are written", file=sys.stderr)
    return int(bool(failed))


def call(words: list[str]) -> int:
    """Run a program and give its exit code. After Ctrl-C, which goes to both of us, it has the time to end its server."""
    with subprocess.Popen(words, cwd=ROOT) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
