"""Tests in Prefect's environment, on a temporary server: ``.venvs/prefect/bin/pytest tests/native/prefect``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

# Prefect reads its settings when it is imported, so they are set before any fixture.
HOME = tempfile.TemporaryDirectory(prefix="prefect-home-")
os.environ |= {
    "PREFECT_HOME": HOME.name,
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "core",
}

from prefect.settings import PREFECT_API_URL  # noqa: E402
from prefect.testing.utilities import prefect_test_harness  # noqa: E402

from core import pipeline  # noqa: E402
from core.month import Month  # noqa: E402
from core.run import TASKS, Receipt, Run  # noqa: E402
from prefect_impl.lab.client import Prefect  # noqa: E402


def pytest_unconfigure(config: pytest.Config) -> None:
    """Delete the home."""
    HOME.cleanup()


@pytest.fixture(scope="session")
def server() -> Iterator[Prefect]:
    """Yield a client of the session's server, which takes 10 s to start on an idle machine and 40 s on a busy one."""
    with prefect_test_harness(server_startup_timeout=300):
        url = str(PREFECT_API_URL.value())
        with Prefect(url.removesuffix("/api")) as prefect:
            yield prefect


class Steps:
    """Stands in for the pipeline's steps: which were called, in order, and what else a step does."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.run: Run | None = None
        self.does: dict[str, Callable[[], None]] = {}
        self.warns: dict[str, tuple[str, ...]] = {}
        self.pending: tuple[str, ...] = ("2024-01 loaded",)

    def step(self, task: str) -> Callable[..., Receipt]:
        def run(run: Run, month: Month | None = None, built: bool = True) -> Receipt:
            self.called.append(task)
            self.run = run
            self.does.get(task, lambda: None)()
            return Receipt(
                task, "success", str(month) if month else None, rows=7, digest="d" * 32, source_sha256="a" * 64,
                warnings=self.warns.get(task, ()),
            )  # fmt: skip

        return run


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Replace the pipeline's steps."""
    stand_in = Steps()
    for task in TASKS:
        monkeypatch.setattr(pipeline, task, stand_in.step(task))
    monkeypatch.setattr(pipeline, "pending", lambda run, month: stand_in.pending)
    return stand_in
