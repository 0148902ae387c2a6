"""Put the questions to the orchestrators, record what was observed, and write the pages of it: `make guide`.

    python -m tests.questions [QUESTION ...] [--on airflow,dagster,prefect]

One orchestrator after the other, so that only one has services on the machine. Whatever is asked, its answers replace
those that are recorded, and nothing else changes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from core.errors import TriptychError, UsageError
from tests.contract.bench import QUESTIONS, opened
from tests.questions import answers, pages
from tests.questions.asking import Asking, Question, questions


def main(argv: list[str] | None = None) -> int:
    """Ask, and return 0, or 1 when an answer is not the expected one or an orchestrator could not be asked."""
    known = questions()
    parser = argparse.ArgumentParser(prog="tests.questions", description="Put the questions to the orchestrators.")
    parser.add_argument("names", nargs="*", metavar="QUESTION", help=f"which (default: all): {', '.join(known)}")
    parser.add_argument("--on", default="airflow,dagster,prefect", help="the orchestrators, comma separated")
    given = parser.parse_args(argv)
    if unknown := sorted(set(given.names) - known.keys()):
        print(f"there is no question {unknown[0]!r}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in given.names] or list(known.values())
    try:
        code = max([put(chosen, orchestrator) for orchestrator in given.on.split(",")])
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    pages.main()
    return code


def put(chosen: list[Question], orchestrator: str) -> int:
    """Ask one orchestrator, on services of its own that end afterwards."""
    code = 0
    with tempfile.TemporaryDirectory(prefix="triptych-questions-") as folder, opened(Path(folder), QUESTIONS) as bench:
        asking = Asking(bench, orchestrator)
        version = bench.description(orchestrator).version
        for question in (each for each in chosen if orchestrator in each.on):
            print(f"{orchestrator}: {question.name}: {len(question.rows)} rows", flush=True)
            code = max(code, record(question, asking, version))
    return code


def record(question: Question, asking: Asking, version: str) -> int:
    """Ask one question and record the answers, also those that came before an error or Ctrl-C."""
    started, given, code = time.monotonic(), dict[int, object](), 0
    try:
        for row, answer in question.ask(asking, question.rows):
            given[question.rows.index(row)] = answer
            if row.expected is not None and not question.same(row.expected, answer):
                print(f"  {dict(row.key)}: expected {row.expected!r}, observed {answer!r}", flush=True)
    except TriptychError as error:
        print(f"  {error}", file=sys.stderr)
        code = 1
    finally:
        if given:
            answers.write(question, asking.orchestrator, given, version, time.monotonic() - started)
    print(f"  {len(given)} answers in {time.monotonic() - started:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
