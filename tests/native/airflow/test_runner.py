"""What the runner knows without services."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_impl.lab import runner
from core.lab.capabilities import CAPABILITIES
from core.lab.protocol import Progress
from core.month import Month


def test_describe_names_known_capabilities(tmp_path: Path) -> None:
    description = runner.describe({}, Progress(tmp_path / "progress"))
    assert (description.name, description.version) == ("airflow", "3.3.2")
    assert set(description.capabilities) <= set(CAPABILITIES)


def test_describe_lists_the_pipelines_that_airflow_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        return [each.name for each in runner.describe({}, Progress(tmp_path / "progress")).pipelines]

    assert names() == ["taxi_pipeline", "taxi_range"]
    monkeypatch.setenv("TRIPTYCH_PIPELINES", "tests.questions")
    assert {"taxi_pipeline", "trigger_rules"} <= set(names())


def test_a_month_that_has_not_begun_fails_by_itself() -> None:
    assert runner.begun(Month(2024, 1))
    assert not runner.begun(Month(9999, 1))
    assert runner.too_early(Month(9999, 1)).state == "failed"
