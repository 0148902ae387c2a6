"""Names that somebody else chose (schemas, loaders) are shown as they are, and do nothing to the terminal."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from core.contract import BackfillResult, MonthRecord
from core.digest import Digest
from core.lab import display
from core.lab.audit import Finding
from core.lab.parity import Parity, Row
from core.ledger import Entry

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
    monkeypatch.setattr(display.out, "file", text)
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


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(display, "err", Console(file=text, markup=False, emoji=False, width=200))
    watch = display.Watch()
    for state in ("running", "failed"):
        watch("plain", "2024-01", state, HOSTILE[3])
    assert "\x1b" not in text.getvalue() and "owned" in text.getvalue()
