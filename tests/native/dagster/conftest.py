"""Tests in Dagster's environment, without services: ``.venvs/dagster/bin/pytest tests/native/dagster``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

# The definitions ask dbt for its lineage when they are imported, so the homes come before any fixture.
HOME = tempfile.TemporaryDirectory(prefix="dagster-home-")
os.environ["DAGSTER_HOME"] = os.environ["TRIPTYCH_HOME"] = HOME.name
Path(HOME.name, "dagster.yaml").write_text("telemetry: {enabled: false}\n")

from core import pipeline, transform  # noqa: E402
from core.run import TASKS, Receipt, Run  # noqa: E402

NOT_YET_STABLE = (
    # Without partitions, a check shows only its latest result, of whichever month ran last.
    "Specifying a partitions_def on an AssetCheckSpec",
    "Function `with_source_code_references`",
    "Class `(LocalFileCodeReference|CodeReferencesMetadataValue)`",
)
"""What Dagster warns of, because it calls it a beta or a preview, and what we use on purpose."""


def pytest_configure(config: pytest.Config) -> None:
    """Allow what Dagster does not call stable, and what we use."""
    for message in NOT_YET_STABLE:
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the homes."""
    HOME.cleanup()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Run]]:
    """Replace the pipeline's steps by ones that return, or raise, what the test says; return the runs that they saw."""

    def replace(**ends: Any) -> list[Run]:
        seen: list[Run] = []

        def make(task: str) -> Callable[..., Receipt]:
            def step(run: Run, *_month: object, **_built: bool) -> Receipt:
                seen.append(run)
                ending = ends.get(task, Receipt(task, "success"))
                end = ending.pop(0) if isinstance(ending, list) else ending
                if isinstance(end, BaseException):
                    raise end
                assert isinstance(end, Receipt)
                return end

            return step

        for task in TASKS:
            monkeypatch.setattr(pipeline, task, make(task))
        monkeypatch.setattr(pipeline, "pending", lambda run, month: ends.get("pending", ("2024-01 loaded",)))
        results = create_autospec(transform.results, return_value=ends.get("results", []))
        monkeypatch.setattr(transform, "results", results)
        monkeypatch.setattr(transform, "rows", create_autospec(transform.rows, return_value=ends.get("trips", 0)))
        return seen

    return replace
