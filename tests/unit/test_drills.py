"""The drills' own parts: which there are, what is read from the records of one, and what the page says of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import measure
from core.errors import UsageError
from core.lab.protocol import BackfillResult, MonthRecord, TaskRecord
from tests.faults.drills import __main__ as program
from tests.faults.drills import page, row
from tests.faults.drills.drill import DrillError, Ground
from tests.faults.drills.plan import (
    ABOVE,
    BEFORE,
    DATABASE,
    DBT,
    DEFAULTS,
    EXPERT,
    HOST,
    KILL,
    LAST,
    LOAD,
    PHASES,
    STARTS_RUNS,
    STEP,
    STOP,
    USUAL,
    Drill,
    chosen,
    components,
    drills,
    every,
    of_ci,
)
from tests.faults.drills.probe import Seen
from tests.faults.drills.row import Course
from tests.faults.drills.watch import Fact, Watch, landed_at, noticed_at
from tests.unit.no_services import NoServices

NAMES = ["airflow", "dagster", "prefect"]

# --- the plan


@pytest.mark.parametrize("orchestrator", NAMES)
def test_an_orchestrator_has_thirty_drills_at_least_with_an_experts_settings(orchestrator: str) -> None:
    assert len(list(drills(orchestrator, EXPERT))) >= 30


def test_no_two_drills_have_the_same_name() -> None:
    names = [drill.name for drill in every(NAMES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("orchestrator", NAMES)
def test_each_component_is_killed_in_each_phase_in_which_it_lives_and_stopped_once(orchestrator: str) -> None:
    found = {(drill.component, drill.signal, drill.phase) for drill in drills(orchestrator, EXPERT)}
    for component in components(orchestrator):
        phases = {phase for phase in PHASES if phase != BEFORE or component not in (STEP, ABOVE)}
        assert {phase for of, signal, phase in found if (of, signal) == (component, KILL)} == phases
        assert (component, STOP, LOAD) in found
    assert (HOST, KILL, LOAD) in found


@pytest.mark.parametrize("orchestrator", NAMES)
def test_the_settings_as_shipped_are_asked_for_what_depends_on_them(orchestrator: str) -> None:
    found = list(drills(orchestrator, DEFAULTS))
    assert [drill.component for drill in found] == [STEP, ABOVE, HOST, STARTS_RUNS[orchestrator]]
    assert {(drill.signal, drill.phase) for drill in found} == {(KILL, LOAD)}


def test_a_process_stays_stopped_for_longer_than_the_heartbeat() -> None:
    assert Drill("airflow", EXPERT, STEP, STOP, LOAD).heartbeat_s > 30 + 3
    assert Drill("airflow", DEFAULTS, ABOVE, KILL, LOAD).heartbeat_s > 300 + 10
    assert Drill("airflow", EXPERT, "scheduler", STOP, LOAD).heartbeat_s > 60
    assert Drill("prefect", EXPERT, "worker", STOP, LOAD).heartbeat_s > 3 * 30


def test_the_slice_of_ci_is_a_part_of_the_plan() -> None:
    for orchestrator in NAMES:
        assert len(of_ci(orchestrator)) == 3
        assert {drill.name for drill in of_ci(orchestrator)} <= {drill.name for drill in every([orchestrator])}


def test_drills_are_chosen_by_component_and_phase() -> None:
    found = every(["prefect"], [EXPERT])
    assert [drill.name for drill in chosen(found, "step:dbt,database:last")] == [
        "prefect expert step SIGKILL dbt", "prefect expert database SIGKILL last",
    ]  # fmt: skip
    assert [drill.signal for drill in chosen(found, "above:load")] == [KILL, STOP]
    assert [drill.signal for drill in chosen(found, "above:load:SIGSTOP")] == [STOP]
    assert len(chosen(found, "engine")) == len(PHASES) + 1
    assert chosen(found, "") == found


@pytest.mark.parametrize("word", ["scheduler", "step:before", "step:nowhere", "step:dbt:SIGSTOP"])
def test_a_drill_that_there_is_not_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="choose from step, above, worker, api, engine, database, host, or :before, "):
        chosen(every(["prefect"], [EXPERT]), word)


# --- what the orchestrator's record shows

MONTH, OTHER = "2024-02", "2024-03"
LOADING = Fact(1.0, MONTH, "running", "ingest_month", 1)


@pytest.mark.parametrize(
    ("after", "at"),
    [
        ([Fact(3.0, MONTH, "waiting")], 3.0),
        ([Fact(3.0, MONTH, "failed")], 3.0),
        # Prefect's crashed run has no step under way, Dagster's next run not yet.
        ([Fact(3.0, MONTH, "running")], 3.0),
        ([Fact(3.0, MONTH, "running", "ingest_month", 2)], 3.0),
        # It went on when it was released.
        ([Fact(6.0, MONTH, "running"), Fact(6.5, MONTH, "running", "ingest_zones", 1)], None),
        ([Fact(6.0, MONTH, "running", "transform", 1), Fact(7.0, MONTH, "success")], None),
        ([Fact(6.0, MONTH, "success"), Fact(6.5, MONTH, "waiting")], None),
        # It was lost nevertheless.
        ([Fact(6.0, MONTH, "running"), Fact(6.5, MONTH, "running", "ingest_month", 2)], 6.5),
        ([Fact(6.0, MONTH, "waiting")], 6.0),
        ([Fact(3.0, OTHER, "failed")], None),
        ([], None),
    ],
)
def test_when_a_loss_is_noticed(after: list[Fact], at: float | None) -> None:
    assert noticed_at([LOADING, *after], MONTH, since=2.0, released=5.0) == at


def test_a_month_lands_after_the_signal_or_never() -> None:
    facts = [Fact(1.0, OTHER, "success"), Fact(3.0, OTHER, "unchanged"), Fact(4.0, MONTH, "success")]
    assert landed_at(facts, MONTH, 2.0) == 4.0
    assert landed_at(facts, None, 2.0) == 3.0
    assert landed_at(facts, None, 4.0) is None


def test_a_watch_keeps_the_progress_of_months_alone() -> None:
    watch = Watch(clock=iter([1.0, 2.0, 3.0]).__next__)
    watch("services", "starting", version="1")
    watch(MONTH, "running", "", task="ingest_month", attempt=1, version="1")
    watch(OTHER, "success", "")
    assert watch.last(MONTH) == LOADING
    assert (watch.landed, watch.last("2024-04")) == ({OTHER}, None)


# --- the row


def course(**changes: Any) -> Course:
    tasks = [TaskRecord("ingest_month", "success", 1), TaskRecord("transform", "success", 2)]
    result = BackfillResult("success", "1", 9.0, [MonthRecord(MONTH, "success", 1, tasks=tasks)])
    facts = [LOADING, Fact(3.5, MONTH, "waiting"), Fact(9.0, MONTH, "success")]
    whole = {"signaled": 2.0, "month": MONTH, "released": 5.0, "facts": facts, "result": result, "identical": True}
    return Course(**{**whole, "seen": Seen(7, []), **changes})


def test_the_row_of_a_step_that_was_killed() -> None:
    found = row.row(Drill("prefect", EXPERT, STEP, KILL, DBT), course())
    assert found == {
        "tool": "prefect", "settings": "expert", "killed": "step", "signal": "SIGKILL", "phase": "dbt",
        "noticed_s": 1.5, "recovered_s": 7.0, "attempts": 2, "orphan_wrote": False, "stuck": 0, "needed_hand": None,
        "tables_identical": True, "looks": 7, "partial_reads": 0,
    }  # fmt: skip


def test_the_death_of_a_service_is_noticed_by_whoever_is_first() -> None:
    said = [(1.0, "x was killed by signal 9"), (2.4, "scheduler was killed by signal 9; see"), (5.0, "restarted")]
    service, step = (Drill("airflow", EXPERT, component, KILL, LAST) for component in ("scheduler", STEP))
    assert row.row(service, course(said=said))["noticed_s"] == 0.4
    assert row.row(service, course(said=said, facts=[LOADING]))["noticed_s"] == 0.4
    assert row.row(step, course(said=said))["noticed_s"] == 1.5


def test_the_row_of_a_command_that_had_to_be_interrupted() -> None:
    stopped = course(result=None, facts=[LOADING], stuck=1, by_hand=["the command was interrupted", "canceled"])
    found = row.row(Drill("dagster", EXPERT, STEP, STOP, LOAD), stopped)
    assert (found["noticed_s"], found["recovered_s"], found["attempts"]) == (None, None, None)
    assert (found["stuck"], found["needed_hand"]) == (1, "the command was interrupted; canceled")


def test_before_the_first_run_the_first_month_that_lands_shows_the_recovery() -> None:
    facts = [Fact(1.0, MONTH, "waiting"), Fact(6.0, OTHER, "success"), Fact(8.0, MONTH, "success")]
    drill = Drill("airflow", EXPERT, DATABASE, KILL, BEFORE)
    assert row.row(drill, course(facts=facts))["recovered_s"] == 4.0


# --- the page

ABOUT = {
    "machine": {"cpu": "any", "cores": 2, "ram_gb": 8, "system": "Linux", "load_average_at_start": 0.1},
    "versions": {"airflow": "3.3.2"},
    "measured_at": "2026-01-01T00:00:00+00:00",
    "deadline_s": 100.0,
    "settings": [{"name": "airflow.heartbeat", "value": "30", "shipped": "300"}],
}


def published(**changes: Any) -> str:
    rows = [
        {**row.row(drill, course()), "seconds": 30.0, "saw": [], "months": 6, "version": "3.3.2",
         "measured_at": f"2026-01-0{1 + number // 20}T00:00:00+00:00"}
        for number, drill in enumerate(drills("airflow", EXPERT))
    ]  # fmt: skip
    rows[0] |= changes
    return page.page({**ABOUT, "rows": rows})


def test_the_page_says_when_the_drills_ran_and_which_have_not_been_run() -> None:
    said = published()
    assert "35 drills, which took 18 minutes. The first of them ran 2026-01-01 00:00 UTC, the last 2026-01-02" in said
    assert "Of 35 it was not recorded: what ran beside them is not known." in said
    assert "**87 drills have not been run.**" in said
    assert "| drills of airflow | at least 30 | 35 | met |" in said
    assert "| step, SIGKILL | 4 | 1.50 | 7.00 | 2 |  |  |  | 4 of 4 |" in said
    assert "| drills of dagster | at least 30 | 0 | missed |" in said
    assert "| `airflow.heartbeat` | 30 | 300 |" in said
    assert "In no drill did a run get stuck" in said


def test_the_page_says_how_busy_the_machine_was() -> None:
    said = published(load_average=2.5)
    assert "The load average when they began was 2.5 to 2.5. Of 34 it was not recorded" in said


def test_the_page_shows_what_the_usual_pattern_lost_apart_from_the_drills_of_ours() -> None:
    [drill] = chosen(list(drills("airflow", USUAL)), "above")
    usual = {**row.row(drill, course()), "seconds": 30.0, "saw": [], "months": 6, "version": "3.3.2",
             "measured_at": "2026-01-03T00:00:00+00:00", "tables_identical": False, "orphan_wrote": True,
             "lost_rows": 7, "extra_rows": 1400, "lost_rows_again": 7, "extra_rows_again": 5}  # fmt: skip
    rows = [{**usual, "settings": EXPERT, "tables_identical": True, "orphan_wrote": False}, usual]
    said = page.page({**ABOUT, "undisturbed": {"lost": 6, "extra": 0}, "rows": rows})
    assert "| above | 7 | 1,400 | 7 | 5 | yes |" in said
    assert "6 lost and 0 too many after one undisturbed backfill" in said
    assert "| drills whose tables differ in the end | none | 0 of 1 | met |" in said
    assert "the contrast" not in published().lower()


def test_the_guide_says_what_becomes_of_a_backfill_when_a_component_dies() -> None:
    [above, _] = chosen(list(drills("airflow", EXPERT)), "above:load")
    [engine] = chosen(list(drills("prefect", EXPERT)), "engine:load:SIGKILL")
    rows = [
        {**row.row(above, course()), "noticed_s": 2.0, "recovered_s": 9.0},
        {**row.row(above, course()), "noticed_s": None, "recovered_s": None, "stuck": 1, "orphan_wrote": True},
        {**row.row(engine, course()), "noticed_s": None, "recovered_s": 4.0},
    ]
    said = page.by_component(rows)
    assert "| what dies, or stands still | airflow | prefect |" in said
    assert (
        "| above, SIGKILL | recovers by itself in 9.00 s (1 of 2); noticed after 2.00 s; landed only when the command "
        "ran again (1 of 2); the lost attempt wrote (1 of 2); runs stayed stuck (1 of 2) | - |"
    ) in said
    assert "identical to the baseline's in 3 of 3 drills" in said
    assert "| engine, SIGKILL | - | recovers by itself in 4.00 s; not noticed |" in said


def test_the_usual_pattern_breaks_no_promise() -> None:
    assert not program.is_wrong({"settings": USUAL, "tables_identical": False, "partial_reads": 0})
    assert program.is_wrong({"settings": EXPERT, "tables_identical": False, "partial_reads": 0})


def test_the_page_lists_what_was_found() -> None:
    hand = "the stuck runs were canceled"
    said = published(orphan_wrote=True, stuck=2, needed_hand=hand, recovered_s=None, noticed_s=0.5)
    assert "| step, SIGKILL | 4 | 0.50 - 1.50 | 7.00 (1 never) | 2 | 1 | 1 | 1 | 4 of 4 |" in said
    assert (
        "- airflow, step, SIGKILL, load under way: the process of the lost attempt went on and committed; 2 runs "
        "stayed queued or running; the stuck runs were canceled; the month landed only when the same command ran again."
    ) in said


def test_the_page_shows_a_broken_promise() -> None:
    said = published(tables_identical=False, partial_reads=1, saw=["raw_trips 2024-02: 3 rows"])
    assert "| drills whose tables differ in the end | none | 1 of 35 | missed |" in said
    assert "**the tables differ**; **a reader saw raw_trips 2024-02: 3 rows**" in said


# --- the program


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the drills that were carried out; a drill of `api` can't be."""
    names: list[str] = []

    def carry_out(at: Ground, drill: Drill) -> dict[str, Any]:
        names.append(drill.name)
        if drill.component == "api":
            raise DrillError("no such luck")
        return {**row.row(drill, course()), "seconds": 1.0, "saw": [], "months": 6}

    monkeypatch.setattr(program, "carry_out", carry_out)
    return names


def part(folder: Path, only: str, end: float = math.inf, again: bool = False, version: str = "1") -> tuple[int, Any]:
    """Carry out drills of two orchestrators without services; return how many failed, and the bench."""
    results, bench = program.recorded(folder), NoServices()
    results.about = {**ABOUT, "versions": {"airflow": version, "dagster": version}}
    due = chosen(every(["airflow", "dagster"], [EXPERT]), only)
    return program.part(Ground(bench, folder, "", []), due, results, again, end), bench  # type: ignore[arg-type]


def test_a_drill_that_has_a_row_of_the_same_version_is_not_repeated(tmp_path: Path, carried_out: list[str]) -> None:
    for _ in range(2):
        assert part(tmp_path, "step:dbt")[0] == 0
    assert carried_out == ["airflow expert step SIGKILL dbt", "dagster expert step SIGKILL dbt"]
    assert part(tmp_path, "step:dbt", again=True)[0] == part(tmp_path, "step:dbt", version="2")[0] == 0
    assert len(carried_out) == 6
    assert [each["version"] for each in measure.read("drills", tmp_path)["rows"]] == ["2", "2"]


def test_what_was_not_carried_out_is_a_failure_and_the_others_go_on(
    tmp_path: Path, carried_out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    failed, bench = part(tmp_path, "api:last,database:last")
    assert (failed, len(carried_out)) == (2, 4)
    # After a drill that failed, and where another orchestrator's turn begins.
    assert bench.ended == ["airflow", "airflow", "dagster"]
    assert "2/4 airflow expert database SIGKILL last: noticed 1.5 s, recovered 7.0 s, 2 attempts, identical" in (
        capsys.readouterr().out
    )
    assert len(measure.read("drills", tmp_path)["rows"]) == 2


def test_no_drill_begins_after_the_end(tmp_path: Path, carried_out: list[str]) -> None:
    assert part(tmp_path, "step", end=0.0)[0] == 0
    assert carried_out == []


def test_rows_stand_in_the_order_of_the_plan(tmp_path: Path, carried_out: list[str]) -> None:
    for only in ("database:last", "step:last", "step:load:SIGKILL"):
        part(tmp_path, only)
    found = [(each["tool"], each["killed"], each["phase"]) for each in measure.read("drills", tmp_path)["rows"]]
    of_each = [("step", "load"), ("step", "last"), ("database", "last")]
    assert found == [(name, *each) for name in ("airflow", "dagster") for each in of_each]
