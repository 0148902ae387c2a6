"""Checks of our own, for claims that no recorded result shows: seconds each, and no services of an orchestrator.

A probe is a program below `benchmarks.folklore.probes` that runs in an orchestrator's environment, in an empty home and
without any variable of the caller's, so that it meets what is shipped. Its last line is what it found, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from benchmarks.folklore import writers
from benchmarks.harness import measure
from benchmarks.harness.measure import BenchmarkError, Row, Server
from core.settings import ROOT

TIMEOUT_S = 180
"""The slowest probe takes 20 s on two cores that have other work to do."""

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PYTHONWARNINGS": "ignore"}
"""No orchestrator reports its use to anybody."""


def probe(environment: str, name: str, at: Server) -> Row:
    """Run a probe in the environment of an orchestrator; return what it found. Raise `BenchmarkError` if it fails."""
    python = ROOT / ".venvs" / environment / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="probe-", dir=at.folder) as home:
        homes = {"HOME": home, "AIRFLOW_HOME": f"{home}/airflow", "PREFECT_HOME": f"{home}/prefect"}
        env = {"PATH": f"{python.parent}:{os.defpath}", "LANG": "C.UTF-8", "TRIPTYCH_DSN": at.dsn, **homes, **QUIET}
        code, out, err = _ended([str(python), "-m", f"benchmarks.folklore.probes.{name}"], env)
    if code:
        lines = err.strip().splitlines() or [f"exit code {code}"]
        raise BenchmarkError(f"{name} failed: {lines[-1]}")
    found: Row = json.loads(out.strip().splitlines()[-1])
    return found


def _ended(words: list[str], env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program to its end and return its exit code and what it printed; leave nothing behind that it started."""
    # Not pipes, which stay open as long as a process that was left behind.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(words, cwd=ROOT, env=env, stdout=out, stderr=err, start_new_session=True)
        try:
            code = child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"{words[-1]} did not end within {TIMEOUT_S} s") from error
        finally:
            # Prefect's probe has a server, which would outlive a probe that is interrupted.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return code, _text(out), _text(err)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def sqlite(at: Server) -> Row:
    """Compare writers on SQLite and on PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="sqlite-", dir=at.folder) as folder:
        return writers.compare(at.dsn, Path(folder))


CHECKS: Mapping[str, Callable[[Server], Row]] = {
    "airflow_shipped": partial(probe, "airflow", "airflow_shipped"),
    "airflow_parse": partial(probe, "airflow", "airflow_parse"),
    "dagster_shipped": partial(probe, "dagster", "dagster_shipped"),
    "dagster_steps": partial(probe, "dagster", "dagster_steps"),
    "dagster_empty": partial(probe, "dagster", "dagster_empty"),
    "prefect_shipped": partial(probe, "prefect", "prefect_shipped"),
    "prefect_retry": partial(probe, "prefect", "prefect_retry"),
    "psycopg_copy": partial(probe, "airflow", "psycopg_copy"),
    "sqlite": sqlite,
}
"""Every check by its name."""


def run(name: str, at: Server) -> Row:
    """Run a check; return its row of the results."""
    began = time.monotonic()
    found = CHECKS[name](at)
    return {"check": name, "seconds": round(time.monotonic() - began, 1), **found}


PACKAGES = {
    "airflow": ["apache-airflow", "psycopg2-binary"],
    "dagster": ["dagster"],
    "prefect": ["prefect"],
}
"""What a result depends on, by environment."""


def about(at: Server) -> dict[str, Any]:
    """Return the facts of a run, with the version of each orchestrator."""
    pythons = {name: ROOT / ".venvs" / name / "bin" / "python" for name in ("lab", *PACKAGES)}
    facts = measure.facts(at, ["psycopg"], pythons["lab"])
    for name, packages in PACKAGES.items():
        versions = measure.versions(pythons[name], packages)
        facts["versions"] |= {package: version for package, version in versions.items() if package != "python"}
    return facts
