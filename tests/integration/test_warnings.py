"""A data test of severity ``warn`` that a month's rows break: reported with its own counts, and fatal when strict."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core import pipeline, transform
from core.errors import CheckFailed
from core.extract import sample
from core.lab.plain import runner
from core.lab.protocol import BackfillRequest, BackfillResult, Progress
from core.month import parse_months
from core.run import Run
from tests.odd_months import rewrite, undocumented_codes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_dbt")]

MONTHS = parse_months("2024-01..2024-03")
JANUARY, FEBRUARY, MARCH = MONTHS
ROWS = 2000
"""With fewer, the 15 rows that the generator puts outside a month would be a warning of their own."""
CODES = "codes_are_documented on fct_trips"
FARES = "negative_fares_are_rare on fct_trips"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three months: January has 3 rows with an unknown code, February 160 of 400, and 30 of its fares are negative."""
    sample.ensure(tmp_path / "published", MONTHS, rows=ROWS)
    undocumented_codes(tmp_path / "published", "2024-01", 12)
    undocumented_codes(tmp_path / "published", "2024-02", 800)
    path = tmp_path / "published" / sample.file_name(FEBRUARY)
    rows = pq.read_metadata(path).num_rows
    rewrite(path, "fare_amount", [-1.0] * 600 + [10.0] * (rows - 600))
    return tmp_path / "published"


def part(broken: int, rows: int | None) -> str:
    """Return how a finding states a part of a month's rows."""
    assert rows is not None
    return f"{broken} of {rows:,} rows, {100 * broken / rows:.3g} %"


def test_each_month_reports_its_own_counts(
    warehouse: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(source=str(folder), schema="plain", loader="test")
    pipeline.ingest_zones(run)
    rows = {month: pipeline.ingest_month(run, month).rows for month in MONTHS}
    transform.refresh("plain")

    about = "Vendor, rate, payment and trip codes are ones seen before."
    (line,) = pipeline.check(run, JANUARY).warnings
    assert line.startswith(f"{CODES}: {part(12, rows[JANUARY])} (also 2024-02: 800). {about}")
    codes, fares = pipeline.check(run, FEBRUARY).warnings
    assert codes.startswith(f"{CODES}: {part(800, rows[FEBRUARY])} (also 2024-01: 12). {about}")
    assert fares.startswith(f"{FARES}: {part(600, rows[FEBRUARY])}. "), (
        "it counts rows, not the one group that the test returns"
    )
    assert pipeline.check(run, MARCH).warnings == ()

    strict = dataclasses.replace(run, strict=True)
    with pytest.raises(CheckFailed) as failure:
        pipeline.check(strict, FEBRUARY)
    assert str(failure.value).startswith("2024-02: 2 of ")
    codes, fares = part(800, rows[FEBRUARY]), part(600, rows[FEBRUARY])
    assert f"{CODES}: {codes} (also 2024-01: 12); {FARES}: {fares};" in str(failure.value)
    assert pipeline.check(strict, MARCH).state == "success"

    caplog.clear()
    with caplog.at_level(logging.INFO, "core"):
        pipeline.check(run, JANUARY)
    assert [(record.levelname, record.name) for record in caplog.records] == [
        ("INFO", "core.pipeline"),
        ("WARNING", "core.pipeline"),
    ]
    assert line in caplog.messages[1]

    # A corrected file removes its month from the findings, and no other.
    sample.write_month(folder / sample.file_name(FEBRUARY), FEBRUARY, rows=ROWS)
    pipeline.ingest_month(run, FEBRUARY)
    transform.refresh("plain")
    assert pipeline.check(run, FEBRUARY).warnings == ()
    assert pipeline.check(run, JANUARY).warnings[0].startswith(f"{CODES}: {part(12, rows[JANUARY])}. ")


@pytest.mark.parametrize("strict", [False, True])
def test_a_backfill_reports_warnings_or_fails_for_them(
    warehouse: str, folder: Path, tmp_path: Path, strict: bool
) -> None:
    request = BackfillRequest(
        ["2024-01", "2024-03"], str(folder), "plain", {"home": str(tmp_path)}, jobs=1, strict=strict
    )
    progress = tmp_path / "progress"
    result = runner.backfill(request.to_json(), Progress(progress))
    january, march = result.months
    assert (march.state, march.warnings, march.error) == ("success", [], None)
    finding = f"{CODES}: 12 of "
    if strict:
        assert (result.status, january.state, january.warnings) == ("failed", "failed", [])
        assert finding in str(january.error)
        return
    assert (result.status, january.summary, january.error) == ("success", "success, 1 warning", None)
    assert january.warnings[0].startswith(finding)
    assert '"state": "success", "detail": "1 warning"' in progress.read_text()
    again = runner.backfill(request.to_json(), Progress(progress))
    assert [month.summary for month in again.months] == ["unchanged, 1 warning", "unchanged"], (
        "it is reported until it is corrected"
    )
    assert BackfillResult.from_json(again.to_json()) == again
