"""Runs in Airflow's environment, without services: ``.venvs/airflow/bin/pytest tests/native/airflow``."""

from __future__ import annotations

import os
import tempfile

import pytest

# Airflow reads its home when it is imported, so this comes before any fixture.
HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the home away again."""
    HOME.cleanup()
