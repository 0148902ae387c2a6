"""Random kills: ``python -m tests.faults.soak [--kills N] [--seed N] [--contrast N] [--folder FOLDER]``.

Up to three loaders load the same three months, by all strategies, while the publisher replaces files; each loader is
ended by SIGKILL at a random instant. All the time a reader queries every month: each must be one of the published
versions, and complete. At the end every month is loaded once more, undisturbed, and compared with a schema that was
never disturbed.

The contrast is the usual pattern under the same kills: `tests.faults.usual`, in the benchmarks' own environment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

import core.extract
from benchmarks.harness import measure
from core import digest, load, pipeline
from core.extract import sample
from core.month import Month, parse_months
from core.run import STRATEGIES, Run
from core.settings import ROOT, settings
from core.waiting import until
from tests.faults import injector, published
from tests.faults.injector import Child
from tests.faults.kills import TIMEOUT_S, Mark, Soak, Step

# Imported before the first fork, so that the children do not import it.
assert load

MONTHS = parse_months("2024-01..2024-03")
VERSIONS = 3
SCHEMA, UNDISTURBED = "soak", "undisturbed"
PHASES = ("begin", "extract", "lock", "copy", "ledger", "swap", "commit", "after")
REPLACE = 0.1
"""The probability that a file is replaced before a loader starts."""
QUIET_EVERY = 50
"""Kills between two pauses, in which the ledger is compared with the tables."""

_STEPS = (
    ("pg_advisory", "lock"), ("COPY", "copy"), ("_side", "copy"), ("WITH replaced", "ledger"),
    ("INSERT INTO load_ledger", "ledger"), ("UPDATE load_ledger", "ledger"), ("DELETE FROM", "copy"), ("MERGE", "copy"),
    ("WITH old", "copy"), ("SAVEPOINT", "swap"), ("COMMIT", "commit"),
)  # fmt: skip


def loader(run: Run, month: Month, dsn: str, home: Path) -> Step:
    """Return one attempt by `core.pipeline.ingest_month`, with its phases marked."""

    def step(mark: Mark) -> str:
        injector.enter(dsn, home)
        extracted = False
        extract = core.extract.extract

        def marked(*arguments: Any, **named: Any) -> Any:
            nonlocal extracted
            mark("extract")
            extracted = True
            return extract(*arguments, **named)

        def hook(name: str, when: str) -> None:
            if not extracted:
                return
            if name.startswith("COMMIT") and when == "after":
                mark("after")
            elif when == "before" and (phase := next((p for word, p in _STEPS if word in name), None)):
                mark(phase)

        core.extract.extract = marked
        with injector.statements(hook):
            return pipeline.ingest_month(run, month).state

    return step


class Published:
    """The folder of published files, and all versions of each."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self._draw = folder, draw
        self.current = dict.fromkeys(MONTHS, 0)

    def version(self, number: int) -> Path:
        """Return the folder of one version."""
        return self.folder.with_name(f"version-{number}")

    def write(self) -> str:
        """Write all versions, each with other rows and another number of them.

        Do not call it in a process that forks later.
        """
        for number, month in itertools.product(range(VERSIONS), MONTHS):
            published.write(self.version(number), month, 100 + number, 60 + 10 * number)
        return ""

    def replace(self, month: Month) -> int:
        """Publish one of the versions atomically; return its number."""
        number = self._draw.randrange(VERSIONS)
        self.folder.mkdir(exist_ok=True)
        half = self.folder / ".half"
        half.write_bytes((self.version(number) / sample.file_name(month)).read_bytes())
        half.replace(self.folder / sample.file_name(month))
        self.current[month] = number
        return number


def months(dsn: str, schema: str) -> dict[str, str]:
    """Return the digest of each month that a reader sees now, in one statement."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return {month: found.hex for month, found in digest.by_month(connection, schema, "raw_trips").items()}


@contextmanager
def reader(dsn: str, known: dict[str, set[str]], answer: Path) -> Iterator[None]:
    """Run a process that queries all months until the block ends, and writes what it saw to `answer`."""
    stop = answer.with_name("stop")

    def ask() -> str:
        polls, partial, seen = 0, [], set[str]()
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not stop.exists():
                found = digest.by_month(connection, SCHEMA, "raw_trips")
                polls += 1
                partial += [[m, d.rows] for m, d in found.items() if d.hex not in known[m]]
                # A month that was seen once must never be missing.
                partial += [[m, 0] for m in seen - set(found)]
                seen |= set(found)
        answer.write_text(json.dumps({"polls": polls, "partial": partial}))
        return ""

    child = Child(ask)
    try:
        yield
    finally:
        stop.touch()
        ended = child.wait(TIMEOUT_S)
    assert ended.how == "success", ended


class Attempt:
    """One soak, on a server and in a folder of its own."""

    def __init__(self, dsn: str, folder: Path, seed: int) -> None:
        self.dsn, self.folder = dsn, folder
        self.draw = random.Random(seed)
        self.files = Published(folder / "published", self.draw)
        self.soak = Soak(PHASES, settings().home / f"soak-{os.getpid()}.jsonl", self.draw)
        self.ledger_mismatches = 0

    def load(self, month: Month, schema: str = SCHEMA, source: Path | None = None) -> None:
        """Load a month undisturbed. If the backend of a killed loader is still busy, this load waits for its end."""
        run = Run(str(source or self.files.folder), schema, loader="soak")
        ended = Child(lambda: loader(run, month, self.dsn, self.folder / "home")(lambda _: None)).wait(TIMEOUT_S)
        assert ended.how == "success", ended

    def prepare(self) -> dict[str, set[str]]:
        """Publish and load once; return the digests of all versions of each month."""
        ended = Child(self.files.write).wait(TIMEOUT_S)
        assert ended.how == "success", ended
        known: dict[str, set[str]] = {str(month): set() for month in MONTHS}
        for number in range(VERSIONS):
            for month in MONTHS:
                self.load(month, UNDISTURBED, self.files.version(number))
            for name, found in months(self.dsn, UNDISTURBED).items():
                known[name].add(found)
        for month in MONTHS:
            self.files.replace(month)
            self.load(month)
        return known

    def kill(self, kills: int) -> None:
        """Start and kill loaders until there have been so many kills."""
        quiet = QUIET_EVERY
        while self.soak.kills < kills:
            if self.soak.is_full:
                time.sleep(0.0005)
            else:
                self._start()
            self.soak.look()
            if self.soak.kills >= quiet:
                self.rest()
                quiet += QUIET_EVERY
        self.soak.drain()

    def _start(self) -> None:
        month, strategy = self.draw.choice(MONTHS), self.draw.choice(STRATEGIES)
        if self.draw.random() < REPLACE:
            self.soak.note("replace", month=str(month), version=self.files.replace(month))
        run = Run(str(self.files.folder), SCHEMA, strategy, loader="soak", force=self.draw.random() < 0.7)
        self.soak.start(loader(run, month, self.dsn, self.folder / "home"), f"{month} {strategy}")

    def rest(self) -> None:
        """Wait until no loader is at work, then compare the ledger with the tables."""
        self.soak.drain()
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'triptych pid=%'"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            until(lambda: connection.execute(query).fetchone() == (0,) or None, TIMEOUT_S, 0.002, "the end of backends")
            recorded = connection.execute(f"SELECT month, content_digest FROM {SCHEMA}.load_ledger".encode()).fetchall()
        wrong = set(months(self.dsn, SCHEMA).items()) ^ {(f"{month:%Y-%m}", found) for month, found in recorded}
        self.ledger_mismatches += len({month for month, _ in wrong})
        self.soak.note("rest", kills=self.soak.kills, wrong=sorted(wrong))

    def difference(self) -> tuple[int, int]:
        """Load all months once more, in both schemas; return how many rows are missing and how many are surplus."""
        for month in MONTHS:
            self.load(month)
            self.load(month, UNDISTURBED)
        self.rest()
        query = "SELECT count(*) FROM (TABLE {}.raw_trips EXCEPT ALL TABLE {}.raw_trips) AS t"
        with psycopg.connect(self.dsn) as connection:
            missing, surplus = (
                connection.execute(query.format(*pair).encode()).fetchall()[0][0]
                for pair in ((UNDISTURBED, SCHEMA), (SCHEMA, UNDISTURBED))
            )
        return int(missing), int(surplus)


def soak(dsn: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Run a complete soak; return its results."""
    run = Attempt(dsn, folder, seed)
    started, known = time.monotonic(), run.prepare()
    with reader(dsn, known, folder / "reader.json"):
        run.kill(kills)
    lost, extra = run.difference()
    saw = json.loads((folder / "reader.json").read_text())
    return {
        "kills": run.soak.kills,
        "seed": seed,
        "by_phase": {phase: run.soak.by_phase[phase] for phase in PHASES},
        "not_killed": dict(run.soak.ended),
        "lost_rows": lost,
        "extra_rows": extra,
        "polls": saw["polls"],
        "partial_reads": len(saw["partial"]),
        "ledger_mismatches": run.ledger_mismatches,
        "seconds": round(time.monotonic() - started, 1),
    }


def contrast(dsn: str, folder: Path, kills: int, seed: int) -> dict[str, Any] | None:
    """Run the usual pattern under the same kills; return None without its environment, or with 0 kills."""
    if kills == 0 or not measure.PEERS.exists():
        return None
    words = [str(measure.PEERS), "-m", "tests.faults.usual", dsn, str(folder), str(kills), str(seed)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise measure.BenchmarkError(f"tests.faults.usual failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Run, and write soak.json; return 1 when a row is lost or gained, or a reader saw part of a month."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--contrast", type=int, default=150, help="kills of the usual pattern; 0: none")
    parser.add_argument("--seed", type=int, default=7)
    measure.folder_option(parser, measure.FAULT_RESULTS)
    asked = parser.parse_args()
    with measure.server() as at:
        about = measure.facts(at, ["psycopg", "pyarrow"], Path(sys.executable))
        found = soak(at.dsn, at.folder, asked.kills, asked.seed)
        print(json.dumps(found), flush=True)
        beside = contrast(at.dsn, at.folder, asked.contrast, asked.seed)
        print(json.dumps(beside))
    rows = [{"phase": phase, "kills": number} for phase, number in found["by_phase"].items()]
    measure.write("soak", about | found | {"contrast": beside}, rows, asked.folder)
    return int(any(found[key] for key in ("lost_rows", "extra_rows", "partial_reads", "ledger_mismatches")))


if __name__ == "__main__":
    sys.exit(main())
