"""Names that somebody else chose (schemas, orchestrators) are shown as they are, and cannot control the terminal."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Callable, Iterator

import pyte
import pytest
from rich.console import Console

from core.digest import Digest, Held
from core.lab import display
from core.lab.audit import Finding
from core.lab.compare import Problem, Row
from core.lab.parity import Parity
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
        [
            Row("raw_trips", {"plain": {"": Digest(1, (1, 1))}, name: None}),
            Row(name, {"plain": {"2024-01": Digest(1, (1, 1))}, name: {}}),
            Row("orders", {"plain": None, name: None}, (Problem(name, "orders", "columns", f"orders has {name}"),)),
        ],
        [Finding(name, "raw_trips", ("2024-01",), "is not what its ledger says", f"load {name}")],
    )
    display.show(display.parity_table(found))
    display.say(display.parity_lines(found, "plain"))
    assert is_safe(screen, name)


def test_a_narrow_terminal_cuts_nothing_off(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display.out, "width", 40)
    schemas = [f"schema_{number}" for number in range(9)]
    same: dict[str, Held | None] = {schema: {"": Digest(1, (1, 1))} for schema in schemas}
    display.show(display.parity_table(Parity("schema_0", schemas, [], [Row("raw_trips", same)], [])))
    assert [line.split() for line in screen.getvalue().splitlines()] == [
        ["table", "rows", *schemas], ["raw_trips", "1", *[Digest(1, (1, 1)).hex[: display.SHORT]] * 9],
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


# --- progress


class Clock:
    """Seconds that pass only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.StringIO]:
    """Make stderr a stream of this kind, with these variables in the environment; return it."""

    def make(text: io.StringIO, **variables: str) -> io.StringIO:
        console = Console(file=text, width=60, height=24, markup=False, emoji=False, soft_wrap=True, _environ=variables)
        monkeypatch.setattr(display, "err", console)
        return text

    return make


def seen(screen: io.StringIO) -> list[str]:
    """Return what is on a terminal of 60 columns after this."""
    terminal = pyte.Screen(60, 24)
    terminal.set_mode(pyte.modes.LNM)
    pyte.Stream(terminal).feed(screen.getvalue())
    return [*(line.rstrip() for line in terminal.display if line.strip()), *["no cursor"] * terminal.cursor.hidden]


def run_two_months(watch: display.Watch, clock: Clock) -> None:
    """Show two months of which the first needs a second attempt, and the second fails."""
    with watch:
        watch("plain", "services", "starting", "", version="3.13")
        watch("plain", "services", "starting", "its server")
        clock.now = 1.5
        watch("plain", "services", "success")
        for task, attempt in (("", 0), ("ingest_zones", 1), ("ingest_month", 1), ("ingest_month", 2), ("check", 1)):
            watch("plain", "2024-01", "running", task=task, attempt=attempt)
        clock.now = 4.0
        watch("plain", "2024-01", "success", "1 warning")
        watch("plain", "2024-02", "running")
        watch("plain", "2024-02", "failed", "no such file")


PLAIN = """\
plain     services  starting
plain     services  starting   its server
plain     services  success      1.5 s
plain     2024-01  running
plain     2024-01  running    ingest_month, attempt 2/3
plain     2024-01  success      2.5 s 1 warning
plain     2024-02  running
plain     2024-02  failed       0.0 s
"""


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (io.StringIO(), {}),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}),
        (Terminal(), {"TERM": "dumb"}),
    ],
    ids=["pipe", "pipe that is asked for colors", "dumb terminal"],
)
def test_without_a_cursor_each_change_is_a_line(
    progress: Callable[..., io.StringIO], text: io.StringIO, variables: dict[str, str]
) -> None:
    screen, clock = progress(text, **variables), Clock()
    run_two_months(display.Watch({"plain": ["2024-01", "2024-02"]}, clock), clock)
    assert screen.getvalue() == PLAIN


def test_a_terminal_keeps_the_outcome_only(progress: Callable[..., io.StringIO]) -> None:
    screen, clock = progress(Terminal(), TERM="xterm"), Clock()
    run_two_months(display.Watch({"plain": ["2024-01", "2024-02"]}, clock), clock)
    assert seen(screen) == [
        "plain 3.13               4.0 s  2/2 done, 1 failed",
        "  2024-02   failed       0.0 s  no such file",
    ]
    assert "\x1b[31mfailed" in screen.getvalue(), "an end has a color"


def test_no_color_is_respected(progress: Callable[..., io.StringIO]) -> None:
    screen, clock = progress(Terminal(), TERM="xterm", NO_COLOR="1"), Clock()
    run_two_months(display.Watch({"plain": ["2024-01", "2024-02"]}, clock), clock)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", screen.getvalue()) is None
    assert seen(screen)[-1] == "  2024-02   failed       0.0 s  no such file"


def test_an_interrupt_leaves_the_lines_above_as_they_are(progress: Callable[..., io.StringIO]) -> None:
    screen = progress(Terminal(), TERM="xterm")
    with pytest.raises(KeyboardInterrupt), display.Watch({"plain": ["2024-01", "2024-02"]}, Clock()) as watch:
        display.note("a service died")
        watch("plain", "2024-01", "success")
        watch("plain", "2024-02", "running")
        raise KeyboardInterrupt
    assert seen(screen) == ["a service died", "plain                    0.0 s  1/2 done"]


def test_a_terminal_shows_the_step_under_way(progress: Callable[..., io.StringIO]) -> None:
    screen = progress(Terminal(), TERM="xterm")
    with display.Watch({"plain": ["2024-01"]}, Clock()) as watch:
        watch("plain", "2024-01", "running", task="ingest_month", attempt=3, version="3.13")
        assert watch._live is not None
        watch._live.refresh()
        assert seen(screen) == [
            "plain 3.13               0.0 s  0/1 done",
            "  2024-01   running      0.0 s  ingest_month, attempt 3/3",
            "no cursor",
        ]
        watch("plain", "2024-01", "running", task="ingest_month", attempt=4)
        watch._live.refresh()
        assert seen(screen)[1].endswith("ingest_month, attempt 4"), "a killed process was one more"


def test_progress_cannot_control_the_terminal(progress: Callable[..., io.StringIO]) -> None:
    screen = progress(io.StringIO())
    watch = display.Watch()
    for state in ("running", "success"):
        watch("plain", "2024-01", state, HOSTILE[3])
    assert "\x1b" not in screen.getvalue() and "owned" in screen.getvalue()
