"""docker-compose.yml in a container engine: the two commands of its first lines, a restart, and nothing left behind.

BASE, POSTGRES_IMAGE and IMAGES name other images, where an engine answers that can pull none.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from core.lab.services import free_ports
from core.settings import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MONTHS = "2024-01..2024-03"
LEFT = ("ps --all --quiet", "volume ls --quiet", "network ls --quiet")


def docker(*words: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Return what a command of docker's says; raise with its last words when it fails."""
    done = subprocess.run(
        ["docker", *words], cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"docker {' '.join(words)}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Stack:
    """The services of a project of its own, on free ports."""

    project: str
    env: dict[str, str]

    def compose(self, *words: str, check: bool = True) -> str:
        return docker("compose", "--project-name", self.project, *words, env=self.env, check=check)

    def lab(self, *words: str) -> str:
        return self.compose("run", "--rm", "--no-TTY", "lab", *words)

    def left(self) -> list[str]:
        """Return the containers, volumes and networks that there are."""
        label = f"label=com.docker.compose.project={self.project}"
        return [line for what in LEFT for line in docker(*what.split(), "--filter", label).split()]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    try:
        answers = all(
            subprocess.run(["docker", *words], capture_output=True).returncode == 0
            for words in (["info"], ["compose", "version"])
        )
    except FileNotFoundError:
        answers = False
    if not answers:
        pytest.skip("no container engine with compose answers here: tests/unit/test_compose.py checks the file as data")
    names = ["AIRFLOW_PORT", "DAGSTER_PORT", "PREFECT_PORT", "POSTGRES_PORT"]
    ports = {name: str(port) for name, port in free_ports(names).items()}
    stack = Stack(f"triptych-test-{uuid.uuid4().hex[:8]}", ports)
    try:
        stack.compose("up", "--build", "--detach", "--wait")
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans", check=False)
    assert stack.left() == []


def test_a_backfill_makes_the_same_tables_before_and_after_a_restart(stack: Stack) -> None:
    stack.lab("backfill", MONTHS, "--on", "all")
    assert "identical: 6 tables in 4 schemas" in stack.lab("parity")
    stack.compose("restart", "airflow-scheduler", "dagster-code", "prefect-worker")
    stack.compose("up", "--detach", "--wait")
    stack.lab("backfill", "2024-04", "--on", "all")
    assert "identical: 6 tables in 4 schemas" in stack.lab("parity")


def test_no_container_has_the_password_in_its_settings(stack: Stack) -> None:
    password = stack.compose("exec", "--no-TTY", "postgres", "cat", "/keys/password")
    assert len(password) == 48
    for container in stack.compose("ps", "--all", "--quiet").split():
        assert password not in docker("inspect", container)
