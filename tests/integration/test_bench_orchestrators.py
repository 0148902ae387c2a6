"""Each benchmark of orchestrators measures everything once, and its page shows what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import measure
from benchmarks.orchestrators import (
    backfill,
    chains,
    chains_page,
    curves,
    curves_page,
    floor,
    floor_page,
    footprint,
    footprint_page,
    page,
)
from benchmarks.orchestrators.stages import STAGES, TASKS
from core.settings import settings

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder below which the benchmark makes its own."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def test_each_turn_is_measured_and_shown(tmp_path: Path, home: Path) -> None:
    words = "--on plain --months 2024-01..2024-02 --rows 400 --rounds 1 --folder"
    assert backfill.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("backfill", tmp_path)
    assert [(row["turn"], row["months"]) for row in result["rows"]] == [("start", 2), ("load", 2), ("unchanged", 2)]
    assert all(row["wall_s"] > 0 and row["cpu_s"] > 0 for row in result["rows"])
    for row in result["rows"][1:]:
        assert sum(row[f"{stage}_s"] for stage in STAGES) == pytest.approx(row["month_s"], abs=0.001)
        assert sum(row[f"{task}_s"] for task in TASKS if f"{task}_s" in row) == pytest.approx(row["steps_s"], abs=0.001)
        assert row["before_s"] + row["month_s"] + row["after_s"] <= row["wall_s"] + 0.1
        assert row["cpu_run_s"] > 0 and row["peak_database_mb"] > 0 and row["statements"] == 0
    assert "| plain |" in page.page(result) and [*page.pictures(result)] == ["stages.svg"]
    head, lines = page.costs(result, {"rows": [], "idle_s": 300})
    assert head == ["", "plain"]
    assert all(len(line) == 2 for line in lines)
    # No benchmark leaves its server's folder behind.
    assert list(home.iterdir()) == []


def test_a_backfill_on_services_has_roles_metadata_and_stages(tmp_path: Path, home: Path) -> None:
    words = "--on plain,prefect --months 2024-01..2024-02 --rows 400 --rounds 1 --folder"
    assert backfill.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("backfill", tmp_path)
    start, *turns = [row for row in result["rows"] if row["orchestrator"] == "prefect"]
    # The first start makes the tables.
    assert start["statements"] > 500 and start["metadata_kb"] > 1000
    for row in turns:
        assert {"cpu_api_s", "cpu_worker_s", "peak_api_mb", "peak_worker_mb"} <= {*row}
        assert row["statements"] > 100 and row["metadata_rows"] > 20
        assert row["cpu_run_s"] > 0.5 and row["peak_run_mb"] > 20
        # The process of a run starts and imports.
        assert row["start_s"] > 0.2 and row["steps_s"] > 0
        assert row["before_s"] + row["month_s"] + row["after_s"] <= row["wall_s"] + 0.1
    assert "| API |" in page.page(result) and "| prefect, unchanged |" in page.page(result)
    assert list(home.iterdir()) == []


def test_every_chain_runs_on_an_orchestrator_and_without_one(tmp_path: Path, home: Path) -> None:
    words = "--on prefect --rounds 1 --samples 1 --folder"
    assert chains.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("chains", tmp_path)
    found = [(row["orchestrator"], row["isolation"], row["chain"]) for row in result["rows"]]
    assert found == [
        *(("python", "in-process", chain) for chain in ("light", "long", "short")),
        *(("python", "process per task", chain) for chain in ("light", "long", "short")),
        *((name, "interpreter per task", chain) for name in ("python", "make") for chain in ("light", "long", "short")),
        ("prefect", "process per run", "first"),
        *(
            ("prefect", kind, chain)
            for chain in ("short", "long", "light")
            for kind in ("process per run", "process pool per run")
        ),
    ]
    for row in result["rows"]:
        of_tasks = sum(row[f"{part}_s"] for part in ("before", "assignment", "execution", "transition", "after"))
        assert of_tasks == pytest.approx(row["run_s"], abs=0.01)
        assert len(row.get("timeline", [])) in (0, row["tasks"])
    assert "| prefect |" in chains_page.page(result)
    assert list(home.iterdir()) == []


def test_months_that_do_nothing_are_measured(tmp_path: Path, home: Path) -> None:
    words = "--on prefect --rounds 1 --rounds-untuned 0 --months 1 --folder"
    assert floor.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("floor", tmp_path)
    assert [(row["settings"], row["months"]) for row in result["rows"]] == [("tuned", 1)]
    assert all(0 < row["runs_s"] <= row["wall_s"] for row in result["rows"])
    assert {setting["name"].partition(".")[0] for setting in result["settings"]} == {"prefect"}
    assert "| prefect, tuned |" in floor_page.page(result)


def test_the_footprint_of_an_orchestrator_is_measured(tmp_path: Path, home: Path) -> None:
    words = "--on prefect --rounds 1 --imports 1 --idle-s 1 --folder"
    assert footprint.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("footprint", tmp_path)
    rows = {row["what"]: row for row in result["rows"]}
    assert list(rows) == ["install", "import", "idle", "idle as shipped", "start", "stop"]
    idle = rows["idle"]
    assert {"cpu_api_s", "cpu_worker_s", "cpu_database_s", "peak_api_mb"} <= {*idle} and "cpu_lab_s" not in idle
    assert idle["cpu_s"] == pytest.approx(sum(idle[key] for key in idle if key.startswith("cpu_") and key != "cpu_s"))
    page_text = footprint_page.page(result)
    assert "| installed, MB |" in page_text and "| API |" in page_text
    assert list(home.iterdir()) == []


def test_many_tasks_and_runs_a_history_and_edits_are_measured(tmp_path: Path, home: Path) -> None:
    words = "--on prefect --sizes 1,3 --wide 4 --runs 2 --history 2 --samples 1 --rounds 1 --deadline-s 120 --folder"
    assert curves.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("curves", tmp_path)
    assert {row["state"] for row in result["rows"]} == {"ended"}
    zero = [(row["isolation"], row["what"]) for row in result["rows"] if row["orchestrator"] == "python"]
    assert zero == [(kind, what) for kind in ("in-process", "process per task") for what in (*["tasks"] * 3, "runs")]
    rows = [row for row in result["rows"] if row["orchestrator"] == "prefect"]
    assert {row["isolation"] for row in rows} == {"process per run"}
    # All of these sizes are measured in every round, and the rest once, after the rounds.
    assert [row["what"] for row in rows] == ["start", *["tasks"] * 3, "edit", "edit", "history", "runs"]
    assert [row["tasks"] for row in rows if row["what"] == "tasks"] == [1, 3, 4]
    assert [row["edit"] for row in rows if row["what"] == "edit"] == ["constant", "task"]
    assert rows[0]["first_s"] > rows[0]["up_s"] > 0
    assert all(row["run_s"] > 0 for row in rows if row["what"] in ("tasks", "runs", "history"))
    assert "| prefect, process per run |" in curves_page.page(result)
    assert list(home.iterdir()) == []
