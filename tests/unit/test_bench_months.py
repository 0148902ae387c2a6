"""What the pages say of the seconds of a month, of roles, and of the metadata database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.harness import report
from benchmarks.orchestrators import page
from benchmarks.summary.data import Data
from benchmarks.summary.page import render
from core.settings import ROOT
from tests import made_up_results as made_up

SVG = "{http://www.w3.org/2000/svg}"
WALLS = {"plain": [10.0, 11.0, 12.0], "airflow": [20.0, 21.0, 22.0]}


def test_the_page_has_roles_metadata_and_stages() -> None:
    text = page.page(made_up.with_months(made_up.backfill(WALLS)))
    # Medians over three rounds, of 12 months.
    assert "| scheduler | - | 4.00 |" in text and "| database | 300 | 500 |" in text
    assert "| load: statements | 0 | 20.0 |" in text and "| load: KB | 0 | 100 |" in text
    assert "![Seconds of a month, by stage](stages.svg)" in text
    assert "| airflow, unchanged | 0.12 |" in text and "| plain, load | 0.50 |" in text


def test_results_from_before_have_a_page_without_these_parts() -> None:
    before = made_up.backfill(WALLS)
    text = page.page(before)
    assert "stages.svg" not in text and "by role" not in text and "## Against the aims" in text
    assert page.pictures(before) == {}


def test_the_picture_has_a_bar_for_each_orchestrator_and_turn_in_both_themes() -> None:
    (drawn,) = page.pictures(made_up.with_months(made_up.backfill(WALLS))).values()
    root = ElementTree.fromstring(drawn)
    texts = [each.text for each in root.iter(f"{SVG}text")]
    for label in ("Plain Python, load", "Airflow, load", "Plain Python, unchanged", "Airflow, unchanged", "steps"):
        assert label in texts
    pieces = [each for each in root.iter(f"{SVG}rect") if each.get("class") == "part-execution"]
    # Four bars, and the legend.
    assert len(pieces) == 5
    style = next(root.iter(f"{SVG}style")).text or ""
    assert "prefers-color-scheme: dark" in style and "light-dark" not in style and "--execution:#" in style


def test_a_picture_is_written_beside_its_page(tmp_path: Path) -> None:
    made_up.write(tmp_path, backfill=made_up.with_months(made_up.backfill(WALLS)))
    folder = tmp_path / "benchmarks" / "results"
    assert [*report.pictures("backfill", folder)] == ["stages.svg"]
    assert report.pictures("chains") == {}


@pytest.mark.parametrize("name", report.PAGES)
def test_the_committed_picture_agrees_with_the_committed_results(name: str) -> None:
    folder = (ROOT / report.PAGES[name].path).parent
    drawn: Mapping[str, str] = report.pictures(name)
    assert {file: (folder / file).read_text() for file in drawn} == drawn


def test_the_report_has_the_section_where_it_was_measured(tmp_path: Path) -> None:
    before = made_up.backfill(WALLS)
    assert 'id="months"' not in render(Data(root=made_up.write(tmp_path / "a", backfill=before)))
    text = render(Data(root=made_up.write(tmp_path / "b", backfill=made_up.with_months(before))))
    assert 'id="load-stages"' in text and 'id="unchanged-stages"' in text
    assert "middle(backfill, 'month_s', 'hand_over_s', orchestrator='airflow', turn='load')" in text
    assert "median(backfill, 'statements', orchestrator='airflow', turn='load') / 12" in text
