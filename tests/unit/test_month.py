"""Months are parsed strictly: other text must not reach a path, a partition's name or an orchestrator."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.month import EARLIEST, Month, parse_months, spans

# No deadline: a busy machine is not a fault. The same examples each time: no run fails by chance.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

MONTHS = st.builds(Month, st.integers(2014, 9998), st.integers(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        "2024-13", "2024-00", "2024-1", "24-01", "2024-01-01", "2024/01", "202401", "2024-01\n", " 2024-01", "",
        "today", "-2024-01", "../../etc", "2024-01/../../etc", "2024-01; DROP SCHEMA public",
        "２０２４-０１", "٢٠٢٤-٠١", "2024-0١",
    ],
)  # fmt: skip
def test_text_that_is_not_a_month_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Month.parse(text)
    assert repr(text) in str(caught.value) and "YYYY-MM" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_month_before_the_first_published_one_is_refused() -> None:
    assert str(Month.parse(EARLIEST)) == EARLIEST
    with pytest.raises(UsageError, match="2013-07 is before 2013-08, the first month of green-taxi data"):
        Month.parse("2013-07")


def test_other_peoples_months_may_be_older() -> None:
    assert list(map(str, parse_months("1999-12..2000-01", "0001-01"))) == ["1999-12", "2000-01"]
    with pytest.raises(UsageError, match=r"0000-12 is before 0001-01$"):
        parse_months("0000-12..0001-02", "0001-01")


@given(MONTHS)
def test_a_printed_month_parses_to_itself(month: Month) -> None:
    assert Month.parse(str(month)) == month
    assert month.first_day == dt.date.fromisoformat(f"{month}-01")


@given(MONTHS)
def test_the_next_month_begins_where_this_one_ends(month: Month) -> None:
    assert month < month.next()
    assert 28 <= (month.next().first_day - month.first_day).days <= 31
    assert month.next().first_day.day == 1


def test_ranges_include_both_ends_and_lists_keep_their_order() -> None:
    assert [str(month) for month in parse_months("2024-12, 2023-11..2024-02,2024-01")] == [
        "2024-12", "2023-11", "2023-12", "2024-01", "2024-02",
    ]  # fmt: skip


@given(st.lists(MONTHS, min_size=1, max_size=8))
def test_a_month_named_twice_counts_once(months: list[Month]) -> None:
    assert parse_months(",".join(map(str, months + months))) == tuple(dict.fromkeys(months))


@pytest.mark.parametrize(
    "text", ["", ",", "2024-01,", "2024-01..", "..2024-01", "2024-01..2024-02..2024-03", "2024-01-2024-02"]
)
def test_a_malformed_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_months(text)


@given(st.sets(MONTHS, min_size=1, max_size=8))
def test_months_in_spans_parse_to_themselves(months: set[Month]) -> None:
    assert parse_months(spans(map(str, months))) == tuple(sorted(months))


def test_months_in_a_row_are_written_as_a_range() -> None:
    assert spans(["2024-06", "2024-01", "2023-12", "2024-02"]) == "2023-12..2024-02,2024-06"


def test_a_range_that_ends_before_it_starts_is_refused_with_the_right_one() -> None:
    with pytest.raises(UsageError, match=r"write 2024-01\.\.2024-03"):
        parse_months("2024-03..2024-01")
