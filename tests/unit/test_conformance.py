"""The conformance cases: how a verdict comes about, what is recorded, what is asked again, and what the page says."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import PermanentError, TransientError, UsageError
from core.lab import cli, development
from core.lab.protocol import Description, Tuned, further
from core.settings import ROOT
from tests.conformance import __main__ as command
from tests.conformance import cases as declared
from tests.conformance import cells, compare, page, running
from tests.conformance.cases import Case, Expected, Observed, cases, check, verdict
from tests.conformance.cells import Cell

KNOWN = cases()

RIGHT = {"seen": 4}
WRONG = {"seen": 1}
DOCUMENTED = {"seen": 3}

MADE_UP = Case(
    question="Are all seen?",
    theme="Events",
    report="owner/name#1",
    right=lambda observed: observed == RIGHT,
    right_answer="All four.",
    expected={
        "airflow": Expected("right", "It sees all."),
        "dagster": Expected("by design", "It says so.", "https://example.com", lambda observed: observed == DOCUMENTED),
        "prefect": Expected("wrong", "It does not."),
    },
    observe=lambda _: RIGHT,
    # A folder that has code of all three.
    name="decimal_value",
)


# ------------------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("tool", "observed", "expected"),
    [
        ("airflow", [RIGHT], ("right", 1, 1)),
        ("airflow", [RIGHT, RIGHT, WRONG], ("wrong", 2, 3)),
        ("airflow", [DOCUMENTED], ("wrong", 0, 1)),
        ("dagster", [DOCUMENTED], ("by design", 0, 1)),
        ("dagster", [DOCUMENTED, RIGHT], ("by design", 1, 2)),
        # What is documented excuses nothing else.
        ("dagster", [DOCUMENTED, WRONG], ("wrong", 0, 2)),
        # It was expected to be by design, and was fixed.
        ("dagster", [RIGHT], ("right", 1, 1)),
        ("airflow", [], ("unsupported", 0, 0)),
    ],
)
def test_a_verdict_comes_from_what_was_observed(tool: str, observed: list[Observed], expected: object) -> None:
    assert verdict(MADE_UP, tool, observed) == expected


# ------------------------------------------------------------------------------------------------ declarations


def test_a_whole_declaration_is_taken() -> None:
    check(MADE_UP)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"question": "All are seen."}, "no question: end it with a question mark"),
        ({"report": "#1"}, "its report '#1' is not OWNER/NAME#NUMBER"),
        ({"repeat": 3}, "it is asked 3 times: say why"),
        ({"expected": {"airflow": Expected("right", "")}}, "it expects something of airflow only"),
        ({"dagster": Expected("by design", "")}, "dagster: what is by design, and only that, has its documentation"),
        ({"dagster": Expected("right", "", "https://example.com")}, "dagster: what is by design, and only that"),
        ({"dagster": Expected("unsupported", "", absent="backfill")}, "dagster: what is unsupported, and only that"),
        ({"dagster": Expected("unsupported", "")}, "dagster: what is unsupported, and only that, has no dagster_defs"),
        ({"dagster": Expected("fine", "")}, "dagster: there is no verdict 'fine'"),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_lacks_something_is_refused(wrong: dict[str, Any], message: str) -> None:
    if "dagster" in wrong:
        wrong = {"expected": {**MADE_UP.expected, **wrong}}
    with pytest.raises(UsageError, match=re.escape(message)):
        check(replace(MADE_UP, **wrong))


def each_case() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", KNOWN.values(), ids=list(KNOWN))


@each_case()
def test_the_names_of_pipelines_begin_with_that_of_their_case(case: Case) -> None:
    """All cases share an orchestrator's services."""
    assert [each.name for each in running.pipelines_of(case) if not each.name.startswith(case.name)] == []


@each_case()
def test_code_is_short_enough_to_read_side_by_side(case: Case) -> None:
    for path in filter(None, map(case.code, case.expected)):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert 10 <= len(lines) <= page.LONGEST, path


def test_make_test_asks_three_cases_of_each() -> None:
    assert sum(case.in_tests for case in KNOWN.values()) == 3


@pytest.fixture
def one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of cases in which somebody has made one folder, and changed nothing else."""
    name = f"own_cases_{tmp_path.name}"
    folder = tmp_path / name / "own_case"
    folder.mkdir(parents=True)
    (folder / "case.py").write_text("from tests.unit.test_conformance import MADE_UP as CASE\n")
    (folder / "pipelines.py").write_text(
        "from core.lab.protocol import Pipeline\n"
        "PIPELINES = [Pipeline(name='own_case', tasks=['step'], main='step', month='none')]\n"
    )
    for file in declared.FILES.values():
        (folder / file).write_text("code = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(further.VARIABLE, name)
    for module in (declared, running):
        monkeypatch.setattr(module, "PACKAGE", name)
    monkeypatch.setattr(declared, "FOLDER", tmp_path / name)
    return name


def test_a_new_case_is_one_folder(one_folder: str) -> None:
    (case,) = command.chosen_cases(["own_case"])
    assert [each.name for each in running.pipelines_of(case)] == ["own_case"]
    # What the services of all three load.
    for file in declared.FILES.values():
        module = file.removesuffix(".py")
        assert further.modules(module) == [f"{one_folder}.own_case.{module}"]
        assert [each.name for each in further.pipelines(module)] == ["own_case"]
    assert "[Are all seen?](#own_case) | not run | not run | not run |" in page.page(cases(), {})


# ------------------------------------------------------------------------------------------------ recorded, and again


def description(name: str, version: str = "1.0") -> Description:
    return Description(name, name, version, [], tuned=[Tuned("prefect.warm_engine", "ours", "theirs")])


def cell(
    case: str = "decimal_value", tool: str = "airflow", observed: Sequence[Observed] = (RIGHT,), **other: Any
) -> Cell:
    found, k, n = verdict(MADE_UP, tool, observed)
    facts: dict[str, Any] = {"version": "1.0", "settings": {}, "seconds": 1.0, "at": "2026-01-01T00:00:00+00:00"}
    return Cell(**{
        "case": case, "tool": tool, "verdict": found, "k": k, "n": n, "observed": list(observed), "code": "1",
        **facts, **other,
    })  # fmt: skip


class Fake:
    """Orchestrators that answer at once, and what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.version = "1.0"
        self.opened = 0
        self.observed: Callable[[], Observed] = lambda: RIGHT

    @contextmanager
    def bench(self, _: str) -> Iterator[Any]:
        self.opened += 1
        yield None

    def ask(self, case: Case, asking: Any, repeat: int | None) -> tuple[Cell, str]:
        self.asked.append(f"{case.name} on {asking.orchestrator}")
        like = running.wanted(case, description(asking.orchestrator, self.version), repeat)
        observed = [self.observed() for _ in range(like["n"])]
        found, k, n = verdict(replace(MADE_UP, expected=case.expected), asking.orchestrator, observed)
        return cell(case.name, asking.orchestrator, observed, **{**like, "verdict": found, "k": k, "n": n}), "a log\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Two made-up cases, asked of orchestrators that answer at once."""
    found = Fake()
    two = {name: replace(MADE_UP, name=name) for name in ("decimal_value", "burst_of_events")}
    monkeypatch.setattr(command, "cases", lambda: two)
    monkeypatch.setattr(command, "bench_for", found.bench)
    monkeypatch.setattr(command, "described", lambda tool: description(tool, found.version))
    monkeypatch.setattr(running, "ask", found.ask)
    monkeypatch.setattr(command, "chosen_tools", lambda on: on.split(","))
    return found


def test_an_interrupted_run_goes_on_where_it_was(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--on", "airflow", "--json", str(tmp_path / "found.json")]

    def interrupted() -> Observed:
        if len(fake.asked) == 2:
            raise KeyboardInterrupt
        return RIGHT

    fake.observed = interrupted
    assert command.main(words) == 130
    assert "the same command goes on" in capsys.readouterr().err
    fake.observed = lambda: RIGHT
    assert command.main(words) == 0
    assert fake.asked == ["decimal_value on airflow", *["burst_of_events on airflow"] * 2]
    # Now there is nothing left to ask, and nothing is started.
    opened = fake.opened
    assert command.main(words) == 0
    assert (len(fake.asked), fake.opened) == (3, opened)
    assert [path.name for path in sorted((tmp_path / "logs").iterdir())] == [
        "burst_of_events.airflow.txt", "decimal_value.airflow.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "version", "asked"),
    [
        ([], "1.0", 0),
        ([], "2.0", 2),
        (["--again"], "1.0", 2),
        (["--repeat", "5"], "1.0", 2),
        (["decimal_value"], "1.0", 1),
    ],
)
def test_a_recorded_cell_is_asked_again_when_something_changed_or_somebody_says_so(
    fake: Fake, tmp_path: Path, words: list[str], version: str, asked: int
) -> None:
    always = ["--on", "airflow", "--json", str(tmp_path / "found.json")]
    command.main(always)
    before, fake.version = len(fake.asked), version
    assert command.main([*words, *always]) == 0
    assert len(fake.asked) - before == asked


def test_a_cell_is_asked_again_when_its_code_changed(one_folder: str) -> None:
    (case,) = command.chosen_cases([])
    before = case.fingerprint("airflow"), case.fingerprint("dagster")
    (case.folder / "airflow_dags.py").write_text("code = 2\n")
    assert case.fingerprint("airflow") != before[0]
    assert case.fingerprint("dagster") == before[1]
    (case.folder / "pipelines.py").write_text("PIPELINES = []\n")
    assert case.fingerprint("dagster") != before[1]


@pytest.mark.parametrize(
    ("tool", "observed", "code"),
    [
        ("airflow", RIGHT, 0), ("airflow", WRONG, 1),
        ("prefect", WRONG, 0), ("prefect", RIGHT, 1),
        ("dagster", DOCUMENTED, 0), ("dagster", RIGHT, 1), ("dagster", WRONG, 1),
    ],
)  # fmt: skip
def test_a_verdict_that_is_not_the_expected_one_fails_whichever_way(
    fake: Fake, capsys: pytest.CaptureFixture[str], tool: str, observed: Observed, code: int
) -> None:
    fake.observed = lambda: observed
    assert command.main(["decimal_value", "--on", tool]) == code
    assert ("EXPECTED" in capsys.readouterr().out) == bool(code)


def test_a_recorded_verdict_that_is_not_the_expected_one_fails_too(fake: Fake, tmp_path: Path) -> None:
    words = ["--on", "airflow", "--json", str(tmp_path / "found.json")]
    fake.observed = lambda: WRONG
    assert command.main(words) == 1
    assert command.main(words) == 1
    assert len(fake.asked) == 2


def test_a_cell_that_could_not_be_asked_is_not_recorded(fake: Fake, tmp_path: Path) -> None:
    def silent() -> Observed:
        raise TransientError("no answer")

    fake.observed, path = silent, tmp_path / "found.json"
    assert command.main(["decimal_value", "--on", "airflow", "--json", str(path)]) == 1
    assert not path.exists()


def test_standard_output_has_nothing_but_the_cells(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["decimal_value", "--on", "airflow,prefect", "--json", "-"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(each["tool"], each["verdict"]) for each in found] == [("airflow", "right"), ("prefect", "right")]
    assert {"case", "tool", "version", "settings", "verdict", "k", "n", "observed", "seconds", "at"} <= found[0].keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_case"], "there is no case 'no_case': choose from burst_of_events, "),
        (["--on", "luigi"], "--on luigi: the cases are for airflow, dagster, prefect"),
        (["--on", "plain"], "--on plain: the cases are for airflow, dagster, prefect"),
        (["--repeat", "0"], "--repeat 0: write 1 or more"),
        (["--json", "/no/such/folder/x"], "--json /no/such/folder/x: there is no folder /no/such/folder"),
        (["--compare", "/no/such/file"], "--compare /no/such/file: there is no such file"),
    ],
)
def test_a_wrong_call_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.setattr(command, "select", lambda names, _: [SimpleNamespace(name=each) for each in names.split(",")])
    assert command.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('[{"rows": 1}]')
    with pytest.raises(UsageError, match=r"other\.json is no file of `triptych conformance --json`"):
        cells.read(tmp_path / "other.json")


def test_the_settings_of_a_cell_are_those_that_it_ran_with() -> None:
    found = replace(description("prefect"), guards=[Tuned("prefect.a_guard", "on", "off")])
    assert running.settings_of(found) == {"prefect.warm_engine": "theirs", "prefect.a_guard": "on"}


# ------------------------------------------------------------------------------------------------ unsupported, logs


def test_what_is_unsupported_must_be_absent() -> None:
    python = Path(sys.prefix, "bin", "python")
    assert running.check_absence(python, "filelock", "backfill") > 0
    with pytest.raises(PermanentError, match=r"filelock defines \w*timeout\w*: the construct is not absent"):
        running.check_absence(python, "filelock", "timeout")
    with pytest.raises(PermanentError, match="there is no package no_such_package"):
        running.check_absence(python, "no_such_package", "backfill")


@pytest.mark.parametrize(
    ("line", "published"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("the password is s3cret", "the password is ***"),
        ("wrote /tmp/state/airflow/x.log", "wrote <state>/airflow/x.log"),
        ("File /usr/lib/python3/x.py, line 3", "File <path>, line 3"),
        ("POST http://127.0.0.1:4200/api/flow_runs/", "POST http://<address>/api/flow_runs/"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("x" * 1000, "x" * running.LENGTH),
    ],
)
def test_a_line_of_a_log_has_no_secret_and_no_path_of_this_machine(line: str, published: str) -> None:
    assert running.clean(line, {"/tmp/state": "<state>"}, "s3cret") == published


# ------------------------------------------------------------------------------------------------ compare


def test_only_what_differs_is_told_apart() -> None:
    old = {each.key: each for each in (
        cell("a"), cell("b"), cell("c", observed=[WRONG]), cell("d", observed=[RIGHT, WRONG]), cell("e"),
    )}  # fmt: skip
    new = {each.key: each for each in (
        cell("a", version="2.0"), cell("b", observed=[WRONG], version="2.0"), cell("c", observed=[DOCUMENTED]),
        cell("d", observed=[WRONG, RIGHT]), cell("f"),
    )}  # fmt: skip
    assert list(compare.differences(old, new)) == [
        "b on airflow: right (1.0), now wrong (2.0)",
        "c on airflow: wrong as before, observed {'seen': 3}, before {'seen': 1}",
        "e on airflow: only in the old result",
        "f on airflow: only in the new result",
    ]
    assert compare.lines(old, old)[-1] == "no cell differs"


def test_the_command_compares_what_it_was_asked_for(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    assert command.main(["--on", "airflow,dagster", "--json", str(old)]) == 1
    fake.version, fake.observed = "2.0", lambda: WRONG
    capsys.readouterr()
    command.main(["--on", "airflow", "--json", str(new), "--compare", str(old)])
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "airflow: 1.0 -> 2.0",
        "burst_of_events on airflow: right (1.0), now wrong (2.0)",
        "decimal_value on airflow: right (1.0), now wrong (2.0)",
    ]
    # Of the older file, only what was asked for is compared.
    command.main(["decimal_value", "--on", "airflow", "--compare", str(old)])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "airflow: 1.0 -> 2.0",
        "decimal_value on airflow: right (1.0), now wrong (2.0)",
    ]


# ------------------------------------------------------------------------------------------------ the page


PUBLISHED = cells.read(cells.PUBLISHED)


def test_the_page_is_up_to_date() -> None:
    assert page.PAGE.read_text() == page.page(KNOWN, PUBLISHED), "run `.venvs/lab/bin/python -m tests.conformance.page`"


@pytest.mark.parametrize("found", PUBLISHED.values(), ids=lambda each: f"{each.case}-{each.tool}")
def test_a_published_verdict_follows_from_what_is_published_beside_it(found: Cell) -> None:
    case = KNOWN[found.case]
    assert (found.verdict, found.k, found.n) == verdict(case, found.tool, found.observed)
    assert found.verdict == case.expected[found.tool].verdict
    assert found.code == case.fingerprint(found.tool), "its code has changed: `make conformance` asks it again"
    log = cells.log_of(cells.PUBLISHED, *found.key).read_text()
    assert len(log.splitlines()) <= running.LINES
    assert re.search(r"(?<![\w<>.:/])/(?:home|root|tmp|work|usr|opt)/|127\.0\.0\.1|password=[^*]", log) is None


def test_no_log_is_left_of_a_cell_that_is_not_published() -> None:
    names = {f"{case}.{tool}.txt" for case, tool in PUBLISHED}
    assert {path.name for path in (cells.PUBLISHED.parent / "logs").glob("*")} == names


def test_a_cell_leads_to_what_was_observed_and_one_that_was_not_run_says_so() -> None:
    found = cell("decimal_value", "dagster", [RIGHT, DOCUMENTED, DOCUMENTED])
    text = page.page({"decimal_value": replace(MADE_UP, name="decimal_value")}, {found.key: found})
    assert "| not run | [by design, 1 of 3](#decimal_value-dagster) | not run |" in text
    part = text.partition('<a id="decimal_value-dagster"></a>')[2].partition("<a id=")[0]
    for told in (
        "### Dagster: by design, 1 of 3", '1x {"seen": 4}', '2x {"seen": 3}', "1.0, 2026-01-01", "https://example.com",
        "[code](../tests/conformance/decimal_value/dagster_defs.py)", "triptych conformance decimal_value --on dagster",
    ):  # fmt: skip
        assert told in part
    other = text.partition('<a id="decimal_value-prefect"></a>')[2]
    assert "### Prefect: not run" in other
    assert "log" not in other


# ------------------------------------------------------------------------------------------------ the command


def test_triptych_conformance_is_the_command_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[list[str]] = []

    def execv(_: str, words: list[str]) -> None:
        called.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.chdir(tmp_path)
    words = ["conformance", "decimal_value", "--on", "airflow", "--repeat", "2", "--json", "x.json", "--again"]
    assert cli.main(words) == 0
    asked = command.parsed(called[0][3:])
    assert called[0][:3] == [sys.executable, "-m", "tests.conformance"]
    assert (asked.cases, asked.on, asked.repeat, asked.again) == (["decimal_value"], "airflow", 2, True)
    assert asked.json == tmp_path / "x.json"
    assert Path.cwd() == ROOT


def test_without_the_checkout_it_says_so() -> None:
    with pytest.raises(UsageError, match=r"has no tests\.nothing: run this in a clone of the repository"):
        development.become("tests.nothing", [])
