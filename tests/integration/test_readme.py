"""The output that the README shows is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core import digest, pipeline
from core.database import connect
from core.extract import sample
from core.lab.cli import DEMO_MONTHS
from core.lab.display import SHORT
from core.lab.scope import TABLES
from core.month import parse_months
from core.run import Run
from core.settings import ROOT

pytestmark = pytest.mark.slow


def test_the_table_in_the_readme_is_what_the_demo_leaves(warehouse: str, tmp_path: Path) -> None:
    months = parse_months(DEMO_MONTHS)
    sample.ensure(tmp_path / "published", months)
    run = Run(str(tmp_path / "published"), "plain", loader="plain")
    pipeline.ingest_zones(run)
    for month in months:
        pipeline.ingest_month(run, month)
    pipeline.transform(run, months[0])
    with connect("test") as connection:
        left = {name: digest.table(connection, "plain", name) for name in TABLES}
    shown = re.findall(r"^(\w+) +([\d,]+)((?: +[0-9a-f]{10}){4})$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [(name, rows, set(digests.split())) for name, rows, digests in shown] == [
        (name, f"{table.rows:,}", {table.hex[:SHORT]}) for name, table in left.items()
    ]
