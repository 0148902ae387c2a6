"""What every benchmark uses to measure: facts of the run, a method in a process of its own, the server's CPU, JSON.

A method is a function ``prepare(**arguments)`` that does what is not timed and returns the function that is. It runs in
a fresh process (`benchmarks.harness.child`), so that its peak memory is its own and one method's imports do not warm
the next. Wall and client CPU seconds are taken inside that process, server CPU seconds outside it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.harness.signals import exits_on
from core.lab.postgres import Postgres
from core.settings import ROOT, settings

RESULTS = ROOT / "benchmarks" / "results"
"""One JSON file for each benchmark, written by it and by nothing else."""

FAULT_RESULTS = ROOT / "tests" / "faults" / "results"
"""The same for what injects faults."""

PEERS = ROOT / ".venvs" / "bench" / "bin" / "python"
"""The environment with what a user would pick instead of ours; `python -m core.lab.environments bench` makes it."""

Row = dict[str, Any]


class BenchmarkError(Exception):
    """A method failed; the message is the last line of its output."""


@dataclass(frozen=True)
class Measured:
    """One run of one method. CPU seconds are user and system time together; `value` is what the method returned."""

    wall_s: float
    client_cpu_s: float
    server_cpu_s: float
    peak_rss_mb: float
    value: Any = None


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the smallest and the largest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server of the benchmark's own: its DSN, its postmaster, and a folder for the benchmark's files."""

    dsn: str
    postmaster: psutil.Process
    folder: Path

    def cpu_s(self) -> float:
        """Return CPU seconds of all its processes since it started."""
        return tree_cpu_s(self.postmaster)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each in a transaction of its own; return the rows of the last one."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def server(**options: str) -> Iterator[Server]:
    """Start a fresh embedded server with the lab's options and these; delete it at the end, with its folder.

    SIGTERM ends the block as well, by SystemExit.
    """
    settings().home.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings().home)
    with exits_on(signal.SIGTERM), temporary as folder:
        embedded = Postgres(Path(folder) / "postgres", settings().pg_bin, options)
        try:
            dsn = embedded.start()
            running = embedded.running()
            assert running is not None, "the server that has just started does not run"
            yield Server(dsn, running.process, Path(folder))
        finally:
            embedded.wipe()


def tree_cpu_s(root: psutil.Process) -> float:
    """Return CPU seconds of a process and all its descendants, including those that have ended.

    The kernel adds a child's use to its parent's account once the parent has waited for it, and PostgreSQL's postmaster
    waits for every backend. So the sum is complete, unless a process ends between two of our reads; then we read again.
    The kernel counts in 1/100 s per process.
    """
    while True:
        before = root.children(recursive=True)
        try:
            total = sum(sum(process.cpu_times()[:4]) for process in (*before, root))
        except psutil.NoSuchProcess:
            continue
        if set(before) == set(root.children(recursive=True)):
            return float(total)


def machine_cpu_s() -> float:
    """Return the machine's CPU seconds so far, whatever spent them: work in several process trees has no other sum."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def run(
    method: str, arguments: Mapping[str, Any], at: Server, *, python: Path = PEERS, timeout_s: float = 3600
) -> Measured:
    """Run ``module:function`` once in a process of its own; raise `BenchmarkError` when it fails or takes too long.

    `arguments` go to the function, as JSON; TRIPTYCH_DSN is the server's.
    """
    words = [str(python), "-m", "benchmarks.harness.child", method, json.dumps(dict(arguments))]
    home = str(at.folder)
    env = {**os.environ, "TRIPTYCH_DSN": at.dsn, "TRIPTYCH_HOME": home, "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(
        words, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    ) as child:  # fmt: skip
        watch = threading.Timer(timeout_s, child.kill)
        watch.start()
        try:
            assert child.stdin and child.stdout
            ready = child.stdout.readline()
            before = at.cpu_s()
            if ready:
                child.stdin.write("go\n")
                child.stdin.flush()
            answer = child.stdout.readline()
            server_cpu_s = at.cpu_s() - before
        finally:
            watch.cancel()
            if sys.exc_info()[0] is not None:
                child.kill()
        child.stdin.close()
        if child.wait() or not answer:
            raise BenchmarkError(f"{method} failed: {_last_line(log) or f'exit code {child.returncode}'}")
    return Measured(**json.loads(answer), server_cpu_s=round(server_cpu_s, 3))


def _last_line(log: Any) -> str:
    log.seek(0)
    return next((line.strip() for line in reversed(log.read().splitlines()) if line.strip()), "")


def interleaved(rounds: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Yield (round from 1, method), all methods of a round before the next one.

    Whatever disturbs the machine then disturbs all methods alike.
    """
    for number in range(1, max(rounds.values(), default=0) + 1):
        yield from ((number, method) for method, count in rounds.items() if number <= count)


def spread(values: Iterable[float]) -> Spread:
    """Return the median, the smallest and the largest of some values."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def facts(at: Server, packages: Sequence[str], python: Path = PEERS) -> dict[str, Any]:
    """Return `machine`, `versions` and `measured_at` of a run.

    Call it before the first round: then the load average is that of other programs.
    """
    model = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "machine": {
            "cpu": model[0] if model else platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "ram_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_average_at_start": round(os.getloadavg()[0], 2),
        },
        "versions": {**versions(python, packages), "postgresql": at.execute("SHOW server_version")[0][0]},
        "measured_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


_VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}))
"""


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of an interpreter and of packages in its environment. Raise `BenchmarkError` without one."""
    done = subprocess.run([str(python), "-c", _VERSIONS, *packages], capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"{python} lacks a package: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def write(name: str, about: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> Path:
    """Write ``<name>.json`` completely or not at all: the facts of the run, then its rows, one to a line."""
    head = json.dumps(dict(about), indent=2).removesuffix("\n}")
    body = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    path = folder / f"{name}.json"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_text(f'{head},\n  "rows": [\n{body}\n  ]\n}}\n')
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def folder_option(parser: argparse.ArgumentParser, default: Path = RESULTS) -> None:
    """Add the option ``--folder``, which every benchmark has."""
    parser.add_argument("--folder", type=Path, default=default, help="where the results go (default: the repository)")


def read(name: str, folder: Path) -> dict[str, Any]:
    """Return what `write` wrote."""
    result: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return result
