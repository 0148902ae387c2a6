"""Hostile files, loaded in processes of their own: the outcome of each, its time and its memory.

A file takes the real path: `core.extract.extract` from a folder, then `core.load.batches`, or the whole
`core.load.load` into the server that TRIPTYCH_DSN names. Two outcomes are allowed: an error of `core.errors`, in one
line that names the file, or a load of exactly what is in the file. Anything else is a finding: another exception, a
process that dies or does not end, too much memory, other rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from core.datasets import GREEN, ZONES, Dataset
from core.errors import PermanentError, TriptychError
from core.extract import Extracted, extract
from core.load import Load, batches, begin, load
from core.settings import settings
from tests import oracle
from tests.fuzz import parquet_files
from tests.fuzz.parquet_files import MONTH, Case

MEMORY_MB = 600
"""Memory that a load may take, in addition to what Python and Arrow take when they are imported."""

BATCH = 50
"""Cases for one process."""

CPU_S, WALL_S = 60, 300
"""A process that takes more of either is ended, which is a finding. The slowest file here takes a tenth."""

ADDRESS_SPACE = 12 << 30
"""A load that needs more than this fails, which protects the machine."""

MESSAGE = 500

SCHEMA = "fuzz"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case. `finding` says what is wrong with it, if anything is."""

    kind: str
    outcome: str
    finding: str = ""
    memory_mb: float = 0.0
    cpu_s: float = 0.0


def run(
    make: Callable[[int], Case], numbers: Sequence[int], server_every: int = 0
) -> Generator[tuple[int, Outcome], None, None]:
    """Load the cases of those numbers, every `server_every`th into the server; yield the outcome of each, in order."""
    while numbers:
        answered = 0
        for outcome in _batch(make, numbers[:BATCH], server_every):
            yield numbers[answered], outcome
            answered += 1
        numbers = numbers[answered:]


def _batch(make: Callable[[int], Case], numbers: Sequence[int], server_every: int) -> Iterator[Outcome]:
    """Load some cases in one process, which is cheaper than one for each. If it dies, its current case is the last."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _child(make, numbers, server_every, write)
    os.close(write)
    answered = 0
    try:
        for line in _lines(read, child):
            yield Outcome(**json.loads(line))
            answered += 1
    finally:
        os.close(read)
        _, status, _ = os.wait4(child, 0)
    if answered < len(numbers):
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
        why = "no end" if name in ("SIGKILL", "SIGXCPU") else name
        yield Outcome(make(numbers[answered]).kind, why, f"the process ended with {name}")


def _lines(read: int, child: int) -> Iterator[bytes]:
    """Yield the child's reports. A child whose report is overdue is killed."""
    rest = b""
    while select.select([read], [], [], WALL_S)[0]:
        if not (piece := os.read(read, 1 << 16)):
            return
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    os.kill(child, signal.SIGKILL)


# ---------------------------------------------------------------- in the child


def _child(make: Callable[[int], Case], numbers: Sequence[int], server_every: int, write: int) -> None:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in numbers:
            case = make(number)
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_S, hard))
            outcome = _outcome(case, into_server=bool(server_every) and number % server_every == 0)
            os.write(write, json.dumps(asdict(outcome)).encode() + b"\n")
        code = 0
    except BrokenPipeError:
        # The parent wants no more reports.
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        # The parent's exit handlers are not ours.
        os._exit(code)


def _outcome(case: Case, *, into_server: bool) -> Outcome:
    with tempfile.TemporaryDirectory(dir=settings().home) as folder:
        path = Path(folder) / case.name
        path.write_bytes(case.content)
        before, start = _reset_peak(), time.process_time()
        outcome, file = _attempt(case, Path(folder), into_server)
        outcome = replace(outcome, memory_mb=round(_peak() - before, 1), cpu_s=round(time.process_time() - start, 3))
        if file:
            outcome = replace(outcome, finding=_difference(case, file))
            file.path.unlink()
    if not outcome.finding and outcome.memory_mb > MEMORY_MB:
        return replace(outcome, finding=f"{outcome.memory_mb:.0f} MB, and {MEMORY_MB} are the limit")
    return outcome


def _attempt(case: Case, folder: Path, into_server: bool) -> tuple[Outcome, Extracted | None]:
    global _rows
    dataset, month = (GREEN, MONTH) if case.name.endswith(".parquet") else (ZONES, None)
    try:
        file = extract(dataset, str(folder), month)
        if into_server:
            order = Load(SCHEMA, dataset, month, file, "swap", "fuzz", "", begin(SCHEMA), True, accept_suspect=True)
            _rows = load(order).entry.row_count
        else:
            _rows = _count(dataset, file)
        return Outcome(case.kind, "loaded"), file
    except TriptychError as error:
        return Outcome(case.kind, type(error).__name__, unclear(error, case.name)), None
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {str(error)[:300]} at {Path(where.filename).name}:{where.lineno}"
        return Outcome(case.kind, type(error).__name__, text), None


_rows = 0


def _count(dataset: Dataset, file: Extracted) -> int:
    rows = 0
    for batch in batches(dataset, file, MONTH if dataset.monthly else None):
        assert batch.schema.equals(dataset.arrow), batch.schema
        batch.validate(full=True)
        rows += batch.num_rows
    return rows


def unclear(error: TriptychError, name: str) -> str:
    """Return what is wrong with a message, or an empty text."""
    message = str(error)
    if not isinstance(error, PermanentError):
        return f"{type(error).__name__} would be tried again: {message[:300]!r}"
    if name not in message:
        return f"does not name the file: {message[:300]!r}"
    if not message.isprintable():
        return f"is no plain line: {message[:300]!r}"
    return f"has {len(message)} letters: {message[:300]!r}" if len(message) > MESSAGE else ""


def _difference(case: Case, file: Extracted) -> str:
    """Return what an independent reader reads differently; for a damaged file, compare the number of rows only."""
    if case.like is None:
        declared = pq.read_metadata(file.path).num_rows if case.name.endswith(".parquet") else _rows
        return "" if declared == _rows else f"{declared} rows are declared, {_rows} were loaded"
    like = file.path.with_name(f"like_{file.name}")
    like.write_bytes(case.like)
    try:
        expected = oracle.expected_zones(like) if like.suffix == ".csv" else oracle.expected_trips(str(MONTH), like)
    except (NotImplementedError, TypeError):
        # pandas cannot read string_view, and cannot round a float16.
        return ""
    except Exception as error:
        return f"the second reader refuses it: {type(error).__name__}: {str(error)[:200]!r}"
    found = _plain(file)
    if found == expected:
        return ""
    different = next((pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), "their number")
    return f"{len(expected)} rows expected, {len(found)} loaded; the first that differ: {str(different)[:300]!r}"


def _plain(file: Extracted) -> list[tuple[Any, ...]]:
    """Return the loaded rows in the oracle's form."""
    dataset, month = (GREEN, MONTH) if file.name.endswith(".parquet") else (ZONES, None)
    rows: list[tuple[Any, ...]] = []
    for batch in batches(dataset, file, month):
        columns = []
        for column in batch.columns:
            kind = str(column.type)
            if kind == "double":
                values = [
                    None if v is None else struct.unpack("<q", struct.pack("<d", v))[0] for v in column.to_pylist()
                ]
            else:
                values = column.cast("int64").to_pylist() if kind.startswith("timestamp") else column.to_pylist()
            columns.append(values)
        rows += zip(*columns, strict=True)
    return rows


def _reset_peak() -> float:
    """Forget the peak so far; return the memory in use, in MB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Once, before the processes are forked.
parquet_files.table()
