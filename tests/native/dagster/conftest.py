"""Runs in Dagster's environment, without services: ``.venvs/dagster/bin/pytest tests/native/dagster``."""

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
from core.run import Receipt, Run  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Backfill policies are a beta of Dagster's, used on purpose: without one, a change of its default would go unseen."""
    config.addinivalue_line("filterwarnings", "ignore:Parameter `backfill_policy`")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the homes away again."""
    HOME.cleanup()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Run]]:
    """Replace the pipeline's steps by ones that give, or raise, what the test says; give the jobs that they saw."""

    def replace(**ends: Any) -> list[Run]:
        seen: list[Run] = []

        def make(task: str) -> Callable[..., Receipt]:
            def step(job: Run, *_month: object) -> Receipt:
                seen.append(job)
                end = ends.get(task, Receipt(task, "success"))
                found = end.pop(0) if isinstance(end, list) else end
                if isinstance(found, Exception):
                    raise found
                assert isinstance(found, Receipt)
                return found

            return step

        for task in ("ingest_zones", "ingest_month", "transform", "check"):
            monkeypatch.setattr(pipeline, task, make(task))
        results = create_autospec(transform.results, return_value=ends.get("results", []))
        monkeypatch.setattr(transform, "results", results)
        monkeypatch.setattr(transform, "rows", create_autospec(transform.rows, return_value=ends.get("trips", 0)))
        return seen

    return replace
