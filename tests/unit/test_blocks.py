"""The live display: what each line says at a given time, and that it fits the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from core.lab import blocks
from core.lab.blocks import Block
from core.month import parse_months

THREE = ["2024-01", "2024-02", "2024-03"]
SIXTY = [str(month) for month in parse_months("2020-01..2024-12")]


def drawn(some: Sequence[Block], now: float, width: int = 60, height: int = 24, is_over: bool = False) -> list[str]:
    """Return the lines that a terminal of this size shows."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, soft_wrap=True, _environ={})
    console.print(Group(*blocks.lines(some, now, height, is_over)))
    lines = [line.rstrip() for line in Text.from_ansi(text.getvalue()).plain.splitlines()]
    assert all(cell_len(line) <= width for line in lines), lines
    return lines


def halfway() -> Block:
    """Return a backfill of three months, two at a time: one has ended after 10 s, one is at its second attempt."""
    block = Block("airflow", THREE)
    block.version = "3.3.2"
    block.update("services", "starting", "", 0)
    block.update("services", "success", "", 5)
    block.update("2024-01", "running", "ingest_month", 10)
    block.update("2024-02", "running", "ingest_month", 10)
    block.update("2024-01", "success", "1 warning", 20)
    block.update("2024-02", "running", "ingest_month, attempt 2/3", 22)
    return block


def test_a_block_while_months_run() -> None:
    assert drawn([halfway()], 25) == [
        "airflow 3.3.2           25.0 s  1/3 done, ~10 s left",
        "  2024-01   success     10.0 s  1 warning",
        "  2024-02   running     15.0 s  ingest_month, attempt 2/3",
        "  2024-03   waiting",
    ]


def test_services_that_start_have_a_row() -> None:
    block = Block("dagster", THREE[:1])
    block.update("services", "starting", "code server", 100)
    assert drawn([block], 107.5) == [
        "dagster                  7.5 s  0/1 done",
        "  services  starting     7.5 s  code server",
        "  2024-01   waiting",
    ]


def test_services_without_months_stay_on_the_screen() -> None:
    block = Block("dagster")
    block.update("services", "starting", "", 0)
    block.update("services", "success", "http://127.0.0.1:3000", 9)
    for is_over in (False, True):
        assert drawn([block], 60, is_over=is_over) == [
            "dagster                  9.0 s",
            "  services  success      9.0 s  http://127.0.0.1:3000",
        ]


def test_what_remains_is_a_title_and_the_cause_of_each_failure() -> None:
    block = halfway()
    block.update("2024-02", "failed", "the file is not there: " + "x" * 60, 30)
    block.update("2024-03", "unchanged", "", 31)
    assert drawn([block], 99, is_over=True) == [
        "airflow 3.3.2           31.0 s  3/3 done, 1 failed, 1 uncha…",
        "  2024-02   failed      20.0 s  the file is not there: xxxx…",
    ]


def test_an_interrupted_backfill_leaves_no_month_that_seems_to_run() -> None:
    assert drawn([halfway()], 25, is_over=True) == ["airflow 3.3.2           25.0 s  1/3 done"]


def test_a_month_that_runs_again_begins_again() -> None:
    block = halfway()
    block.update("2024-01", "running", "transform", 30)
    assert drawn([block], 32)[1] == "  2024-01   running      2.0 s  transform"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (99.94, "99.9 s"), (100, "1m 40s"), (3599, "59m 59s"), (3600, "1h 00m"), (360000, "100h 00m")],
)
def test_times_keep_their_column(seconds: float, text: str) -> None:
    block = Block("plain", THREE[:1])
    block.update("2024-01", "running", "check", 0)
    title, row = drawn([block], seconds)
    assert row == f"  2024-01   running   {text:>8}  check"
    assert title == f"{'plain':<21} {text:>8}  0/1 done"


# --- the estimate


def test_there_is_no_estimate_without_evidence() -> None:
    block = Block("plain", THREE)
    block.update("2024-01", "running", "", 0)
    assert block.remaining(1000) is None
    block.update("2024-01", "failed", "", 1000)
    assert block.remaining(1000) is None, "what failed says nothing of what works"
    block.update("2024-02", "unchanged", "", 1001)
    assert block.remaining(1001) is None, "it ended between two looks, so nobody knows how long it took"


def test_the_months_that_wait_follow_in_as_many_slots_as_have_run() -> None:
    block = Block("plain", SIXTY[:7])
    for month in SIXTY[:2]:
        block.update(month, "running", "", 0)
    block.update(SIXTY[0], "success", "", 10)
    block.update(SIXTY[2], "running", "", 10)
    block.update(SIXTY[1], "success", "", 12)
    # Expected: 11 s for each. One has run for 3 s, and one of two slots is free for the four that wait.
    assert block.remaining(13) == pytest.approx(8 + 2 * 11)


def test_an_estimate_follows_what_the_last_months_took() -> None:
    block, now = Block("plain", SIXTY), 0.0
    for number, month in enumerate(SIXTY[:28]):
        block.update(month, "running", "", now)
        now += 1 if number < 20 else 10
        block.update(month, "success" if number >= 20 else "unchanged", "", now)
    assert block.remaining(now) == pytest.approx(32 * 10)


def test_there_is_no_estimate_once_all_that_is_left_is_late() -> None:
    block = Block("plain", THREE[:2])
    for month in THREE[:2]:
        block.update(month, "running", "", 0)
    block.update("2024-01", "success", "", 10)
    assert (block.remaining(9), block.remaining(10)) == (1, None)


@pytest.mark.parametrize(
    ("took", "text"), [(1, "~5 s"), (43, "~45 s"), (91, "~2 min"), (1000, "~17 min"), (7200, "~2.0 h")]
)
def test_an_estimate_is_rounded(took: float, text: str) -> None:
    block = Block("plain", THREE[:2])
    block.update("2024-01", "running", "", 0)
    block.update("2024-01", "success", "", took)
    assert drawn([block], took)[0].endswith(f"1/2 done, {text} left")


# --- many months, and small terminals


def many(name: str, failed: int = 2) -> Block:
    """Return a backfill of 60 months: 10 have ended, of which `failed` failed, and 2 run."""
    block = Block(name, SIXTY)
    for number, month in enumerate(SIXTY[:12]):
        block.update(month, "running", "transform", number)
        if number < 10:
            block.update(month, "failed" if number < failed else "success", "no such file" * 9, number + 0.5)
    return block


def test_of_many_months_those_that_matter_are_shown_and_the_rest_is_counted() -> None:
    assert drawn([many("plain")], 100) == [
        "plain                   1m 40s  10/60 done, ~10 s left",
        "  2020-01   failed       0.5 s  no such fileno such fileno …",
        "  2020-02   failed       0.5 s  no such fileno such fileno …",
        "  2020-11   running     90.0 s  transform",
        "  2020-12   running     89.0 s  transform",
        "  2021-01   waiting",
        "  2021-02   waiting",
        "  2021-03   waiting",
        "  and 8 success, 45 waiting",
    ]


@pytest.mark.parametrize("failed", [0, 3, 10])
def test_the_display_is_never_taller_than_the_terminal(failed: int) -> None:
    names = ["airflow", "dagster", "plain", "prefect"]
    for height in (4, 7, 8, 9, 12, 23, 40, 59):
        lines = drawn([many(name, failed) for name in names], 100, height=height)
        assert len(lines) <= height
        assert [line.split()[0] for line in lines if not line.startswith(" ")] == names
        if height >= len(names) * (1 + 2 + failed + 1):
            shown = [line.split()[1] for line in lines if line.startswith("  20")]
            assert (shown.count("running"), shown.count("failed")) == (8, 4 * failed)


def test_four_orchestrators_fit_24_lines() -> None:
    lines = drawn([many(name, failed=0) for name in ("airflow", "dagster", "plain", "prefect")], 100, height=23)
    assert len(lines) == 23
    assert [sum(state in line.split()[1:2] for line in lines) for state in ("running", "waiting")] == [8, 7]
    assert sum(line.startswith("  and ") for line in lines) == 4


def test_rows_are_counted_as_failed_where_their_lines_do_not_fit() -> None:
    lines = drawn([many("plain", failed=10)], 100, height=6)
    assert [line.split()[1] for line in lines[1:5]] == ["failed", "failed", "running", "running"]
    assert lines[-1] == "  and 8 failed, 48 waiting"


def test_what_others_wrote_cannot_control_the_terminal() -> None:
    hostile = "\x1b[2Ja\nb"
    block = Block(hostile, [hostile, "2024-01"])
    block.version = hostile
    block.update(hostile, hostile, hostile, 1)
    lines = drawn([block], 1, width=200)
    assert [line.count(r"\x1b[2Ja\nb") for line in lines] == [2, 3, 0]
    assert [line.count(r"\x1b[2Ja\nb") for line in drawn([block], 1, height=2)] == [2, 1], "counted"
