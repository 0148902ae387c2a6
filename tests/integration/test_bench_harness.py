"""A benchmark that is told to end leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core.lab.postgres import Postgres
from core.settings import ROOT

pytestmark = pytest.mark.slow

SERVE = """
import json, time
from benchmarks.harness import measure
with measure.server() as at:
    print(json.dumps([at.postmaster.pid, str(at.folder)]), flush=True)
    # A signal that comes just before signal.pause() would not end it.
    while True:
        time.sleep(0.1)
"""
RUN = f"""
import sys
from benchmarks.harness import run
run.call([sys.executable, "-c", {SERVE!r}])
"""


@contextmanager
def benchmark(program: str, home: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, Path]]:
    """A program that leads a process group; the postmaster and the folder of its server."""
    words, env = [sys.executable, "-c", program], {**os.environ, "TRIPTYCH_HOME": str(home)}
    with subprocess.Popen(
        words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        pid, folder = json.loads(process.stdout.readline())
        try:
            yield process, psutil.Process(pid), Path(folder)
        finally:
            Postgres(Path(folder) / "postgres").wipe()


@pytest.mark.parametrize("program", [SERVE, RUN], ids=["benchmark", "run"])
def test_a_benchmark_that_is_terminated_stops_its_server(program: str, tmp_path: Path) -> None:
    with benchmark(program, tmp_path) as (process, postmaster, folder):
        os.killpg(process.pid, signal.SIGTERM)
        code = process.wait(60)
        assert not postmaster.is_running()
        assert (code, folder.exists()) == (1, False)


def test_who_terminates_only_the_runner_terminates_its_program_as_well(tmp_path: Path) -> None:
    with benchmark(RUN, tmp_path) as (process, postmaster, folder):
        process.terminate()
        code = process.wait(60)
        assert not postmaster.is_running()
        assert (code, folder.exists()) == (1, False)
