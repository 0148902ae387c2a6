"""The commands that pages of the guide show with what they print: ``python -m tests.questions.commands [NAME...]``.

They run one after the other, each in bash, in one empty folder with a lab of its own, and are written to
docs/guide/data/commands.json. With names, only those run, and what they need: the others keep what is recorded. What
differs from run to run (times, ids, ports) is replaced by dots.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.lab.protocol import write_json
from core.settings import ROOT
from tests.questions.tables import DATA, read

RECORDED = "commands"
"""The name of the file, and of its rows."""

PUBLISHED = "python -m core.extract.sample published"
"""Plays the publisher: writes months of generated files into a folder."""


@dataclass(frozen=True)
class Command:
    """A command of a page: what is shown, and what comes before it without being shown."""

    name: str
    shown: str
    before: str = ""
    needs: tuple[str, ...] = ()
    """The commands that must have run."""
    at_root: bool = False
    """Whether it runs in the checkout, and not in the empty folder."""
    code: int = 0
    """The exit code that the page tells of; after any other one, the old output stays."""


COMMANDS = (
    Command("identical", "triptych backfill 2024-01..2024-02 --on all | tail -n 4\ntriptych parity"),
    Command("again", "triptych backfill 2024-01..2024-02 --on dagster", needs=("identical",)),
    Command("receipts", "triptych run taxi_pipeline --on prefect --month 2024-01", needs=("identical",)),
    Command("no_month", "triptych run taxi_pipeline --on airflow", code=2),
    Command("ledger", "triptych ledger --schema airflow", needs=("identical",)),
    Command(
        "switched",
        "triptych backfill 2024-01 --on airflow --schema moved > /dev/null\n"
        "triptych backfill 2024-02 --on dagster --schema moved > /dev/null\n"
        "triptych ledger --schema moved\n"
        "triptych parity --schemas moved,plain",
        needs=("identical",),
    ),
    Command("migrated", "triptych migrate 2024-01..2024-12 --from airflow --to dagster --at 2024-07"),
    Command(
        "bad_month",
        "triptych backfill 2024-01..2024-03 --on plain --source published --schema audit",
        before=f"{PUBLISHED} 2024-01..2024-03 && truncate --size 100000 published/green_tripdata_2024-02.parquet",
        code=1,
    ),
    Command(
        "half_way",
        'triptych psql -c "SELECT source_month, count(*) FROM audit.raw_trips GROUP BY 1 ORDER BY 1"',
        needs=("bad_month",),
    ),
    Command(
        "only_failed",
        "triptych backfill 2024-01..2024-03 --on plain --source published --schema audit",
        before=f"rm published/*2024-02* && {PUBLISHED} 2024-02",
        needs=("bad_month",),
    ),
    Command(
        "republished",
        "triptych backfill 2024-01..2024-03 --on plain --source published --schema audit",
        before=f"{PUBLISHED} 2024-03 --seed 5",
        needs=("only_failed",),
    ),
    Command(
        "differs",
        "triptych backfill 2024-01..2024-03 --on plain > /dev/null\ntriptych parity --schemas plain,audit",
        needs=("republished",),
        code=1,
    ),
    Command(
        "refused",
        "triptych migrate 2024-01..2024-03 --from plain --to prefect --at 2024-02 --schema audit",
        needs=("republished",),
        code=1,
    ),
    Command(
        "not_published",
        "triptych backfill 2024-06 --on plain --source published --schema audit",
        needs=("bad_month",),
        code=1,
    ),
    Command(
        "wrong_month",
        "cp published/green_tripdata_2024-01.parquet published/green_tripdata_2024-05.parquet\n"
        "triptych backfill 2024-05 --on plain --source published --schema audit",
        needs=("bad_month",),
        code=1,
    ),
    Command(
        "other_columns",
        "triptych backfill 2024-04 --on plain --source published --schema audit",
        before="python -c \"import pyarrow.parquet as pq; t = pq.read_table('published/green_tripdata_2024-01.parquet')"
        "; pq.write_table(t.rename_columns(['vendor' if n == 'VendorID' else n for n in t.column_names]), "
        "'published/green_tripdata_2024-04.parquet')\"",
        needs=("bad_month",),
        code=1,
    ),
    Command(
        "at_once",
        "triptych backfill 2024-01..2024-02 --on plain --schema shared > /dev/null &\n"
        "triptych backfill 2024-01..2024-02 --on prefect --schema shared > /dev/null; wait\n"
        'triptych psql -c "SELECT count(*), count(DISTINCT (source_month, row_number)) FROM shared.raw_trips"',
    ),
    Command(
        "canceled",
        "triptych run taxi_pipeline --on prefect --month 2024-09 --cancel-after 1 > /dev/null\n"
        "triptych runs --on prefect --limit 1",
    ),
    Command("address", "triptych dsn"),
    Command("killed", ".venvs/lab/bin/pytest -q tests/integration/test_kills.py -k random", at_root=True),
    Command("late_writer", ".venvs/lab/bin/pytest -q tests/integration/test_late_writer.py", at_root=True),
    Command("readers", ".venvs/lab/bin/pytest -q tests/integration/test_load.py -k reader", at_root=True),
    Command("dead_scheduler", ".venvs/lab/bin/pytest -q tests/contract/test_dead_services.py -k airflow", at_root=True),
    Command(
        "retried",
        '.venvs/dagster/bin/python -m pytest -q tests/native/dagster/test_steps.py -k "retried or transient"',
        at_root=True,
    ),
    Command("dag_test", ".venvs/airflow/bin/python -m pytest -q tests/native/airflow/test_dag.py", at_root=True),
    Command("flow_test", ".venvs/prefect/bin/python -m pytest -q tests/native/prefect/test_flows.py", at_root=True),
    Command("definitions", ".venvs/dagster/bin/dg check defs", at_root=True),
    Command(
        "cost", "grep -m 5 -A 5 '^| orchestrator | load' docs/benchmarks/orchestrators.md | head -n 6", at_root=True
    ),
    Command("doctor", "triptych doctor"),
    # A history is read from services that run, so these come last.
    Command("history", "triptych runs --limit 8", before="triptych up", needs=("identical",)),
    Command("status", "triptych status", needs=("history",)),
    Command(
        "whose",
        "triptych run taxi_pipeline --on dagster --month 2024-01 --set schema=airflow --set force=true > /dev/null\n"
        "triptych history 2024-01 --schema airflow",
        needs=("status",),
    ),
)

MASKS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "..."),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?", "..."),
    (r"(127\.0\.0\.1:)\d+", r"\1..."),
    (r"(?<=__)\w{8}$", "..."),
    (r"(?<=-)\d{8}T\d{6}\.\d{6}(?=-)", "..."),
    (r"(?<![\d.])\d+\.\d{1,2}(?= ?s\b|  )", "..."),
    (r" \(\d:\d\d:\d\d\)", ""),
    (r" {2,}\[ *\d+%\]$", ""),
)
"""What is replaced: ids, times, ports, seconds, and how far pytest is."""


class Unexpected(Exception):
    """A command ended in another way than the page tells of, so its output is not recorded."""


def masked(text: str, folder: Path) -> str:
    """Return what was printed without what differs from run to run, in lines without blanks at their end."""
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text).replace(f"{folder}/", "").replace(f"{ROOT}/", "")
    for pattern, dots in MASKS:
        text = re.sub(pattern, partial(_filled, dots), text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def _filled(dots: str, found: re.Match[str]) -> str:
    """Return a mask, as wide as what it replaces where a column follows: the columns of a table stay in place."""
    is_column = found.string[found.end() : found.end() + 2] == "  "
    return found.expand(dots).ljust(len(found[0]) if is_column else 0)


def environment(folder: Path) -> Mapping[str, str]:
    """Return the variables of the commands: a lab of their own, and no terminal."""
    path = f"{ROOT}/.venvs/lab/bin:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIPTYCH_")}
    lab = {"TRIPTYCH_HOME": str(folder / ".triptych"), "PYTHONPATH": str(ROOT)}
    return {**kept, **lab, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}


def run(command: Command, folder: Path) -> str:
    """Run a command and return what it printed; with an exit code that is not 0, also its last words, and the code.

    Raise `Unexpected` when the code is another one than the page tells of.
    """
    env, cwd = environment(folder), ROOT if command.at_root else folder
    if command.before:
        subprocess.run(["bash", "-ec", command.before], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["bash", "-c", command.shown], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode != command.code:
        raise Unexpected(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    lines = [done.stdout.strip("\n")]
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("triptych: ")]
        lines += [*said, f"(exit code {done.returncode})"]
    return masked("\n".join(filter(None, lines)), folder)


def chosen(names: list[str]) -> list[Command]:
    """Return the named commands with all that they need, in order; all of them without a name."""
    known = {command.name: command for command in COMMANDS}
    wanted = set(names or known)
    while more := {need for name in wanted for need in known[name].needs} - wanted:
        wanted |= more
    return [command for command in COMMANDS if command.name in wanted]


def record(names: list[str]) -> int:
    """Run commands and write down what each printed, as soon as it has ended; return 1 if one ended unexpectedly."""
    code = 0
    with tempfile.TemporaryDirectory(prefix="triptych-guide-") as temporary, lab(Path(temporary)):
        for command in chosen(names):
            print(f"{command.name}: {command.shown}", flush=True)
            try:
                write(command, run(command, Path(temporary)))
            except Unexpected as error:
                print(f"{command.name}: not recorded: {error}", file=sys.stderr)
                code = 1
    return code


@contextmanager
def lab(folder: Path) -> Iterator[None]:
    """Keep PostgreSQL running from one command to the next, and end all services at the end."""

    def triptych(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "core.lab", *words], cwd=folder, env=environment(folder), check=True)

    triptych("up", "plain")
    try:
        yield
    finally:
        triptych("down", "--wipe")


def recorded() -> dict[str, str]:
    """Return what each command printed, by its name, for those that still read as they did then."""
    shown = {command.name: command.shown for command in COMMANDS}
    rows = read(RECORDED) if (DATA / f"{RECORDED}.json").exists() else []
    return {row["name"]: row["output"] for row in rows if shown.get(row["name"]) == row["command"]}


def write(command: Command, output: str) -> None:
    """Replace what is recorded of a command. What is no command anymore goes."""
    outputs = recorded() | {command.name: output}
    rows = [
        {"name": each.name, "command": each.shown, "output": outputs[each.name]}
        for each in COMMANDS
        if each.name in outputs
    ]
    DATA.mkdir(parents=True, exist_ok=True)
    write_json(DATA / f"{RECORDED}.json", rows)


def main(argv: list[str] | None = None) -> int:
    """Record the commands that are named, or all."""
    parser = argparse.ArgumentParser(prog="tests.questions.commands", description="Record the guide's commands.")
    parser.add_argument("names", nargs="*", choices=[[], *(each.name for each in COMMANDS)], metavar="NAME")
    return record(parser.parse_args(argv).names)


if __name__ == "__main__":
    sys.exit(main())
