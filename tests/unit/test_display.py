"""Names that somebody else chose (schemas, orchestrators) are shown as they are, and cannot control the terminal."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from core.digest import Digest
from core.lab import display
from core.lab.audit import Finding
from core.lab.parity import Parity, Row
from core.lab.protocol import BackfillResult, MonthRecord
from core.ledger import Entry
from core.run import counted

HOSTILE = [
    "[/red]",
    "[link=http://evil]x[/link]",
    ":smile:",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb",
    "\u202egpj",
    "{x} %s \\ ' \" Ü",
]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is printed on stdout."""
    text = io.StringIO()
    # Not `file`: to undo that would set the stdout of this moment for good.
    monkeypatch.setattr(display.out, "_file", text)
    yield text


def is_safe(screen: io.StringIO, name: str) -> bool:
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown in screen.getvalue() and screen.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_ledger(screen: io.StringIO, name: str) -> None:
    entry = Entry(
        "green", dt.date(2024, 1, 1), "f", "0" * 64, 1, 1, "0" * 32, "d", "swap", name, "run", 1, 1,
        loaded_at=dt.datetime(2024, 1, 1),
    )  # fmt: skip
    display.show(display.ledger_table({name: [entry]}))
    assert is_safe(screen, name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_comparison(screen: io.StringIO, name: str) -> None:
    found = Parity(
        "plain",
        ["plain", name],
        [name],
        [Row("raw_trips", {"plain": Digest(1, (1, 1)), name: None}, {name: []})],
        [Finding(name, "raw_trips", ("2024-01",), "is not what its ledger says", f"load {name}")],
    )
    display.show(display.parity_table(found))
    display.say(display.parity_lines(found, "plain"))
    assert is_safe(screen, name)


def test_a_narrow_terminal_cuts_nothing_off(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display.out, "width", 40)
    schemas = [f"schema_{number}" for number in range(9)]
    same: dict[str, Digest | None] = dict.fromkeys(schemas, Digest(1, (1, 1)))
    display.show(display.parity_table(Parity("schema_0", schemas, [], [Row("raw_trips", same, {})], [])))
    assert [line.split() for line in screen.getvalue().splitlines()] == [
        ["table", "rows", *schemas], ["raw_trips", "1", *[Digest(1, (1, 1)).hex[:12]] * 9],
    ]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_an_error(screen: io.StringIO, name: str) -> None:
    result = BackfillResult("failed", "1", 0.1, [MonthRecord("2024-01", "failed", error=name)])
    display.say(display.backfill_lines({"plain": result}))
    assert is_safe(screen, name)


def test_a_cause_that_several_months_share_is_one_line() -> None:
    errors = {"2024-01": "no room", "2024-02": "no room", "2024-03": "2024-03: no file", "2024-04": "no room"}
    months = [MonthRecord(month, "failed", error=error) for month, error in errors.items()]
    assert list(display.backfill_lines({"plain": BackfillResult("failed", "1", 0.1, months)}))[1:] == [
        "plain 2024-01..2024-02,2024-04 failed: no room",
        "plain 2024-03 failed: no file",
    ]


@pytest.mark.parametrize(
    ("number", "noun", "shown"), [(1, "row", "1 row"), (0, "row", "0 rows"), (2000, "process", "2,000 processes")]
)
def test_one_thing_is_not_shown_as_several(number: int, noun: str, shown: str) -> None:
    assert counted(number, noun) == shown


def test_warnings_are_on_the_screen(screen: io.StringIO) -> None:
    months = [MonthRecord("2024-01", "success"), MonthRecord("2024-02", "success", warnings=["100 % of it is odd"])]
    months += [MonthRecord("2024-03", "unchanged", warnings=["a", "b"])]
    results = {"plain": BackfillResult("success", "1", 3.14, months)}
    display.show(display.backfill_table(results))
    states = [line.split("2024-0")[1].split("  ")[1] for line in screen.getvalue().splitlines()[1:]]
    assert states == ["success", "success, 1 warning", "unchanged, 2 warnings"]
    assert list(display.backfill_lines(results)) == [
        "plain: 2 success (1 with warnings), 1 unchanged (1 with warnings) in 3.1 s",
        "plain 2024-02 warning: 100 % of it is odd",
        "plain 2024-03 warning: a",
        "plain 2024-03 warning: b",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_warning(screen: io.StringIO, name: str) -> None:
    result = BackfillResult("success", "1", 0.1, [MonthRecord("2024-01", "success", warnings=[name])])
    display.say(display.backfill_lines({"plain": result}))
    assert is_safe(screen, name)


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(display, "err", Console(file=text, markup=False, emoji=False, width=200))
    watch = display.Watch()
    for state in ("running", "failed"):
        watch("plain", "2024-01", state, HOSTILE[3])
    assert "\x1b" not in text.getvalue() and "owned" in text.getvalue()
