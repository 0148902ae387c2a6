"""The drills on two of everything: which there are, what the server's log says of them, and what the page says."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import UsageError
from tests.faults.drills import pair_page, pairs
from tests.faults.drills.executions import Executions, months
from tests.faults.drills.pair_plan import BACKFILL, EVENTS, NOTHING, PAIRS, chosen, scale_of
from tests.faults.drills.pair_plan import pairs as drills

LOG = """\
LOG:  connection received: host=127.0.0.1 port=1
LOG:  connection authorized: user=triptych database=triptych application_name=triptych pid=7 airflow green 2024-02
LOG:  connection authorized: user=triptych database=triptych application_name=triptych pid=8 airflow green 2024-03
LOG:  connection authorized: user=triptych database=triptych application_name=triptych pid=9 airflow green 2024-02
LOG:  connection authorized: user=triptych database=triptych application_name=triptych pid=9 airflow zones
LOG:  connection authorized: user=triptych database=triptych application_name=triptych pid=5 plain green 2024-01
"""

ROW = {"tool": "airflow", "settings": "scheduler:2 api-server:2", "killed": "scheduler", "signal": "SIGKILL",
       "phase": BACKFILL, "noticed_s": 0.25, "recovered_s": 62.0, "attempts": 2, "loads": 8, "runs_doubled": 2,
       "orphan_wrote": False, "stuck": 0, "needed_hand": None, "tables_identical": True, "partial_reads": 0,
       "months": 6, "load_average": 1.5}  # fmt: skip

EVENT_ROW = {"tool": "dagster", "settings": "daemon:2", "killed": NOTHING, "signal": "", "phase": EVENTS, "loads": 50,
             "events": 50, "refreshes": 61, "events_doubled": 11, "events_lost": 0, "refreshes_failed": 0, "stuck": 1,
             "tables_identical": True, "load_average": 2.0}  # fmt: skip


@pytest.mark.parametrize("orchestrator", PAIRS)
def test_each_of_the_two_dies_in_a_backfill_and_one_among_events(orchestrator: str) -> None:
    found = drills(orchestrator)
    assert {each.killed for each in found if each.work == BACKFILL} == {NOTHING, *PAIRS[orchestrator]}
    assert [each.killed == NOTHING for each in found if each.work == EVENTS] == [True, False]
    assert set(scale_of(orchestrator).values()) == {2}


def test_drills_are_chosen_by_what_dies_and_by_the_work() -> None:
    every = drills("airflow")
    assert chosen(every, "") == every
    assert [each.name for each in chosen(every, "scheduler")] == [
        "airflow scheduler backfill",
        "airflow scheduler events",
    ]
    assert [each.name for each in chosen(every, "nothing:events")] == ["airflow nothing events"]
    with pytest.raises(UsageError, match="no such drill: choose from nothing:backfill"):
        chosen(every, "daemon")


def test_the_loads_of_a_loader_are_counted_from_the_servers_log() -> None:
    found = Executions()
    found.of.update(months(LOG, "airflow"))
    assert (found.of.total(), found.doubled) == (3, ["2024-02"])


def test_the_page_has_a_table_for_each_kind_of_work() -> None:
    assert pair_page.section([]) == []
    said = "\n".join(pair_page.section([ROW, {**ROW, "killed": NOTHING, "recovered_s": None}, EVENT_ROW]))
    start = "| airflow | scheduler:2 api-server:2 | scheduler | 0.25 | 62.0 | 2 | 8 | 2 |"
    assert f"{start}  |  |  | yes | 1.50 |" in said
    assert "| airflow | scheduler:2 api-server:2 | nothing |  |  | 2 | 8 | 2 |" in said
    assert "| dagster | daemon:2 | nothing | 50 | 61 | 11 | 0 | 0 | 1 | yes | 2.00 |" in said


def test_the_guide_says_what_two_of_everything_did() -> None:
    lost: dict[str, Any] = {"recovered_s": None, "needed_hand": "the command was interrupted", "orphan_wrote": True}
    said = pair_page.summary([ROW, {**ROW, **lost}, EVENT_ROW])
    assert (
        "| the loads of 2 of 6 months were begun twice; the month under way landed 62.0 s after the death; tables ident"
        in said
    )
    assert "landed only when the command ran again; the command was interrupted; an attempt that was given up" in said
    assert "| of 50 events, 11 started two refreshes, 0 none; 1 run stayed stuck; tables identical |" in said


def test_a_broken_promise_fails_the_program() -> None:
    assert not pairs.is_wrong(ROW)
    assert not pairs.is_wrong(EVENT_ROW)
    assert pairs.is_wrong({**ROW, "partial_reads": 1})
    assert pairs.is_wrong({**EVENT_ROW, "tables_identical": False})
