"""An attempt that was believed dead continues after another one has published: what the later one published stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.run import STRATEGIES
from core.settings import settings
from core.waiting import until
from tests.integration.loading import MONTH, WAIT_S, attempt, held, ledger, rows, waiting, write

EACH = pytest.mark.parametrize("strategy", STRATEGIES)

LOADER = """
import os, signal, sys
from pathlib import Path
from core.load import transaction
from tests.integration.loading import attempt
lock = transaction.lock

def stopped(*arguments, **named):
    if sys.argv[3] == "before" and "load" in arguments[1:]:
        os.kill(os.getpid(), signal.SIGSTOP)
    lock(*arguments, **named)

transaction.lock = stopped
done = attempt(Path(sys.argv[1]), strategy=sys.argv[2], run_id="first")
print(done.state, done.superseded)
"""


@pytest.fixture
def folder(tmp_path: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one month, which was loaded and then replaced; waits for locks are short."""
    published = tmp_path / "published"
    write(published, MONTH, rows=400)
    attempt(published)
    write(published, MONTH, seed=1)
    monkeypatch.setenv("TRIPTYCH_LOCK_WAIT_S", "20")
    settings.cache_clear()
    yield published
    settings.cache_clear()


@contextmanager
def first(folder: Path, strategy: str, stop: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", LOADER, str(folder), strategy, stop]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as loader:
        try:
            yield loader
        finally:
            loader.kill()


def is_stopped(pid: int) -> bool | None:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T" or None


@EACH
@pytest.mark.parametrize("newer", [False, True])
def test_an_attempt_that_was_stopped_before_it_loads_changes_nothing(
    folder: Path, warehouse: str, strategy: str, newer: bool
) -> None:
    with first(folder, strategy, "before") as loader:
        until(lambda: is_stopped(loader.pid), WAIT_S, 0.02, "the stop of the first attempt")
        if newer:
            write(folder, MONTH, seed=2)
        attempt(folder, strategy=strategy, run_id="second")
        second = rows(warehouse), ledger(warehouse)
        os.kill(loader.pid, signal.SIGCONT)
        said, complaint = loader.communicate(timeout=WAIT_S)
    assert (rows(warehouse), ledger(warehouse)) == second
    assert ("another attempt loaded another version" in complaint) if newer else (said == "unchanged True\n"), complaint


@EACH
def test_an_attempt_that_was_stopped_in_mid_load_and_disconnected_changes_nothing(
    folder: Path, warehouse: str, strategy: str
) -> None:
    with first(folder, strategy, "never") as loader:
        with held(warehouse) as holder:
            # It has copied, and is about to write the ledger.
            ((backend, _),) = waiting(warehouse)
            os.kill(loader.pid, signal.SIGSTOP)
            # As a keepalive would.
            holder.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
        write(folder, MONTH, seed=2)
        attempt(folder, strategy=strategy, run_id="second")
        second = rows(warehouse), ledger(warehouse)
        os.kill(loader.pid, signal.SIGCONT)
        _, complaint = loader.communicate(timeout=WAIT_S)
    assert "DatabaseUnavailable" in complaint
    assert (rows(warehouse), ledger(warehouse)) == second


@EACH
def test_an_attempt_that_was_stopped_in_mid_load_and_continues_is_followed_by_the_second(
    folder: Path, warehouse: str, strategy: str
) -> None:
    """The second one waits for the first one's lock, is busy, and publishes when it runs again."""
    with first(folder, strategy, "never") as loader, held(warehouse) as holder:
        waiting(warehouse)
        os.kill(loader.pid, signal.SIGSTOP)
        write(folder, MONTH, seed=2)
        with first(folder, strategy, "never") as second:
            waiting(warehouse, 2)
            os.kill(loader.pid, signal.SIGCONT)
            holder.execute("ROLLBACK")
            (said, _), (_, complaint) = (each.communicate(timeout=WAIT_S) for each in (loader, second))
    assert said == "success False\n"
    assert "Busy" in complaint and "run again to fetch it" in complaint
    assert attempt(folder, strategy=strategy, run_id="second").state == "success"
    attempt(folder, schema="other", strategy=strategy)
    assert rows(warehouse) == rows(warehouse, schema="other")
