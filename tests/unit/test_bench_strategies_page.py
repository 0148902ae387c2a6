"""The page on load strategies agrees with its results: figures, spread, verdicts, and what is extrapolated."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness.markdown import number
from benchmarks.harness.measure import BenchmarkError
from benchmarks.strategies import growth
from benchmarks.strategies import page as strategies_page
from benchmarks.strategies.claims import METHODS
from core import load
from core.run import STRATEGIES

FACTS = {
    "machine": {"cpu": "a processor", "cores": 2, "ram_gb": 8.0, "system": "Linux 6", "load_average_at_start": 0.1},
    "versions": {"postgresql": "18.6"},
    "measured_at": "2026-01-02T03:04:05+00:00",
}


def growing(sizes: tuple[int, ...] = (6, 24, 60)) -> dict[str, Any]:
    """An overwrite takes 0.4 s and 10 s more for each million rows, everything else 0.2 s; three rounds of each."""
    rows = [
        {
            "strategy": method, "months": months, "round": number, "changed": 1.0, "client_cpu_s": 0.1,
            "wall_s": (0.4 + 10 * months * 0.06 if method == "overwrite" else 0.2) + (0.1 if number == 3 else 0),
            "wal_bytes": months * 24_000_000 if method == "overwrite" else 9_000_000,
            "rows_written": months * 60_000 if method == "overwrite" else 60_000, "dead_rows": 123_456,
            "reader_p50_ms": 5.0, "reader_max_ms": 10.0 + number, "idle_ms": 4.0, "reads": 9, "digest": "d",
        }
        for months in sizes for method in growth.CHANGES for number in (1, 2, 3)
    ]  # fmt: skip
    conditions = {"rows_per_month": 60_000, "reader_pause_s": 0.005, **growth.SERVER}
    return {**FACTS, "conditions": conditions, "rows": rows}


US_PER_ROW = {
    0.0: {"copy": 3, "executemany": 21, "execute_values": 60, "execute": 30, "to_sql": 100, "to_sql_multi": 300},
    10.0: {"copy": 4, "executemany": 16, "execute_values": 80, "execute": 20_000, "to_sql": 200, "to_sql_multi": 2000},
}


def claimed() -> dict[str, Any]:
    rows = [
        {
            "method": name, "one_way_ms": delay, "round_trip_ms": 0.1 + 2 * delay, "rows": 500 if delay else 2_000,
            "round": 1, "us_per_row": found,
        }
        for delay, methods in US_PER_ROW.items() for name, found in methods.items()
    ]  # fmt: skip
    return {**FACTS, "rows": rows}


def line(page: str, start: str) -> list[str]:
    """Return the cells of the one line of a table that starts with `start`."""
    (found,) = [each for each in page.splitlines() if each.startswith(start)]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_each_strategy_has_its_docstring_and_what_an_older_snapshot_sees() -> None:
    page = strategies_page.page({**growing(), "claims": claimed()})
    for name in STRATEGIES:
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        assert load.strategy(name).trade_offs in section
        assert f"sees the {load.strategy(name).older_snapshot} month." in section
    assert page.count("No other load of the table runs at the same time.") == 1


def test_a_line_holds_median_spread_and_the_worst_wait() -> None:
    page = strategies_page.page({**growing(), "claims": claimed()})
    assert line(page, "| overwrite | 24 |") == [
        "overwrite", "24", "3", "14.8 (14.8-14.9)", "576", "1,440,000", "123,456", "5.00", "13.0",
    ]  # fmt: skip
    lines = [each for each in page.splitlines() if each.startswith(tuple(f"| {method} |" for method in growth.CHANGES))]
    assert len(lines) == 3 * len(growth.CHANGES)


def test_factors_have_their_verdict_at_each_distance() -> None:
    page = strategies_page.page({**growing(), "claims": claimed()})
    copy, multi = page.split('### "COPY')[1].split('### "multi')
    assert line(copy, "| psycopg 3 `executemany`")[1:] == ["7.00x: holds", "4.00x: holds"]
    assert line(copy, "| psycopg2 `execute_values`")[1:] == ["20.0x: more", "20.0x: more"]
    assert line(multi, "| one INSERT per row")[1:] == ["10.0x slower: the reverse", "10.0x: holds"]
    assert line(multi, "| `pandas.to_sql`, default")[1:] == ["3.00x slower: the reverse", "10.0x slower: the reverse"]


@pytest.mark.parametrize(
    ("slow", "found"), [(7.9, "7.90x: less"), (8.1, "8.10x: holds"), (12.4, "12.4x: holds"), (12.6, "12.6x: more")]
)
def test_a_claimed_factor_holds_from_four_fifths_to_five_quarters(slow: float, found: str) -> None:
    assert strategies_page._factor(slow, 1, (10, 10)) == found


def test_the_methods_are_all_in_the_table_with_the_rows_that_they_got() -> None:
    page = strategies_page.page({**growing(), "claims": claimed()})
    for name, method in METHODS.items():
        assert line(page.split("### ")[0], f"| {method.words} |")[1:] == [
            f"{found} ({found}-{found})" for found in (number(US_PER_ROW[delay][name]) for delay in (0, 10))
        ]  # fmt: skip
    assert "execute 2,000 or 500;" in page


def test_600_million_rows_are_called_an_extrapolation() -> None:
    page = strategies_page.page({**growing(), "claims": claimed()})
    # The third rounds are a little slower.
    assert line(page, "| 600,000 |")[1:4] == ["6.43", "0.24", "32.2"]
    assert line(page, "| 600,000,000 |")[1:] == ["6,000", "240", "30,002", "**extrapolated** by a factor of 167"]
    assert "The largest table measured had 3,600,000 rows" in page


@pytest.mark.parametrize(
    ("few", "many", "found"),
    [
        (9, 101, "holds"),
        (11, 101, "does not hold: 600K rows are too many already"),
        (9, 99, "does not hold: 600M rows are not too many"),
    ],
)
def test_the_verdict_on_an_overwrite_counts_in_swaps(few: float, many: float, found: str) -> None:
    assert strategies_page._verdict(few, many) == found


def test_a_page_without_claims_or_with_one_size_says_what_is_missing() -> None:
    page = strategies_page.page(growing((6,)))
    assert "a slope needs at least two sizes" in page
    assert "### " in page and "COPY is" not in page


ANSWERS = {"old": (5, 50), "new": (6, 60), "part": (5, 60)}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["old", "old", "new"], None),
        (["old", "part", "new"], "a reader saw part of a month"),
        (["old", "new", "old", "new"], "a reader saw the old month after the commit"),
    ],
)
def test_a_reader_who_sees_what_it_must_not_ends_the_benchmark(answers: list[str], message: str | None) -> None:
    """The load ends at 1.5; each question takes half a second."""
    reader = growth.Reader("", [(float(at), at + 0.5, ANSWERS[name]) for at, name in enumerate(answers)])
    if message is None:
        reader.check(1.5)
        return
    with pytest.raises(BenchmarkError, match=message):
        reader.check(1.5)


def test_only_questions_under_way_during_the_load_are_its_waits() -> None:
    reader = growth.Reader("", [(0.0, 0.5, ()), (0.9, 1.1, ()), (1.5, 1.6, ()), (2.1, 2.2, ())])
    assert reader.waits_ms(1.0, 2.0) == pytest.approx([200, 100])
