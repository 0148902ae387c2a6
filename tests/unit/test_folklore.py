"""The claims that circulate: the recorded results bear out each verdict, other results would not, commands exist."""

from __future__ import annotations

import copy
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer

from benchmarks.folklore import __main__ as folklore
from benchmarks.folklore import checks, writers
from benchmarks.folklore import page as folklore_page
from benchmarks.folklore.claim import VERDICTS, Claim, Found
from benchmarks.folklore.claims import CLAIMS, SUBJECTS
from benchmarks.folklore.results import Results, recorded
from benchmarks.harness import measure, report
from benchmarks.harness.measure import BenchmarkError, Row
from core.lab.cli import app
from core.settings import ROOT
from core.waiting import until
from tests.questions.asking import questions

LONGEST_S = 300
"""The page promises that each command takes less."""

COMMANDS = sorted({command for claim in CLAIMS for command in claim.commands})


def each_claim() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)


# ---------------------------------------------------------------- verdicts


@each_claim()
def test_the_recorded_results_bear_out_the_verdict(claim: Claim) -> None:
    found = claim.evidence(recorded())
    assert found.bears_out, f"{claim.text} {claim.verdict}: {found.figure}"


class Changed(Results):
    """The recorded results, with every value but those that identify a row changed by a function."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__(measure.read("folklore", measure.RESULTS)["rows"])
        self._change = change

    def check(self, name: str) -> Row:
        return self._changed(super().check(name), {"check"})

    def answers(self, question: str, **key: Any) -> list[Row]:
        return [self._changed(row, set(key)) for row in super().answers(question, **key)]

    def rows(self, benchmark: str, **key: Any) -> list[Row]:
        return [self._changed(row, {*key, "one_way_ms"}) for row in super().rows(benchmark, **key)]

    def soak(self) -> Row:
        return self._changed(super().soak(), set())

    def _changed(self, row: Row, kept: set[str]) -> Row:
        return {name: value if name in kept else self._deep(copy.deepcopy(value)) for name, value in row.items()}

    def _deep(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._deep(each) for name, each in value.items()}
        return [self._deep(each) for each in value] if isinstance(value, list) else self._change(value)


def flat(value: Any) -> Any:
    """Nothing differs: all figures are equal, so are all words, and all is so."""
    return True if isinstance(value, bool) else 1 if isinstance(value, (int, float)) else "other" if value else value


def none(value: Any) -> Any:
    """Nothing is counted, and nothing is so."""
    return False if isinstance(value, bool) else 0 if isinstance(value, int) else value


def huge(value: Any) -> Any:
    """Everything takes a thousand times as long."""
    return value * 1000 if isinstance(value, float) else value


@each_claim()
def test_other_results_would_not_bear_it_out(claim: Claim) -> None:
    def bears_out(change: Callable[[Any], Any]) -> bool:
        try:
            return claim.evidence(Changed(change)).bears_out
        # Results in which nothing like it was found at all
        except (LookupError, ArithmeticError, ValueError):
            return False

    assert not all(bears_out(change) for change in (flat, none, huge))


def test_a_check_that_was_not_run_is_named() -> None:
    with pytest.raises(LookupError, match=r"'sqlite' was not run: make bench-folklore"):
        Results([]).check("sqlite")
    with pytest.raises(LookupError, match=r"values\.json has 0 rows"):
        recorded().answer("values", part="nonsense")


# ---------------------------------------------------------------- the claims


def test_there_are_enough_claims_and_each_is_told_apart() -> None:
    assert len(CLAIMS) >= 25
    assert len({claim.name for claim in CLAIMS}) == len({claim.text for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.verdict for claim in CLAIMS} == VERDICTS.keys()
    assert all(re.fullmatch(r"[a-z0-9-]+", claim.name) for claim in CLAIMS)


@each_claim()
def test_a_claim_says_where_it_circulates_and_what_to_make_of_it(claim: Claim) -> None:
    assert claim.circulates and claim.meaning.endswith(".") and claim.text.endswith(".")
    assert claim.commands


@each_claim()
def test_no_figure_is_typed(claim: Claim) -> None:
    """Figures come from recorded results: what is written by hand has none but the numbers of versions."""
    typed = re.sub(r"(?:Airflow|psycopg|Prefect|Dagster) \d+(?:\.\d+)*(?: and \d+)?", "", claim.meaning)
    assert re.findall(r"\d", typed) == []


def test_every_check_is_the_evidence_of_a_claim() -> None:
    assert {claim.check for claim in CLAIMS if claim.check} == checks.CHECKS.keys()


# ---------------------------------------------------------------- the commands


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_exists(command: str) -> None:
    settings = re.match(r"(?:[A-Z_]+=\S+ )*", command)
    program, *words = shlex.split(command[settings.end() if settings else 0 :])
    if words[:1] == ["-m"]:
        assert program == ".venvs/lab/bin/python" and find_spec(words[1]) is not None
    elif program.endswith("/pytest"):
        assert [word for word in words if word.endswith(".py") and not (ROOT / word).exists()] == []
    else:
        assert program == ".venvs/lab/bin/triptych"
        # It has several commands. Raises on an unknown command or option, or a missing value.
        known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        known[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("command", [each for each in COMMANDS if "tests.questions" in each])
def test_a_question_exists_is_put_to_those_that_have_answers_and_is_short(command: str) -> None:
    name, _, orchestrators = command.partition("-m tests.questions ")[2].partition(" --on ")
    question = questions()[name]
    assert set(orchestrators.split(",")) <= set(question.on)
    assert sum(recorded().asked_s(name, each) for each in orchestrators.split(",")) < LONGEST_S


@pytest.mark.parametrize("command", [each for each in COMMANDS if "--folder" in each])
def test_a_benchmark_knows_its_options_and_publishes_nothing(command: str) -> None:
    _, _, module, *words = shlex.split(command)
    assert words[-2:] == ["--folder", ".triptych/folklore"]
    # Its help lists them: a trial of the parser that runs nothing.
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert [word for word in words if word.startswith("--") and word not in done.stdout] == []


def test_a_check_takes_less_than_the_page_promises() -> None:
    assert max(recorded().check(name)["seconds"] for name in checks.CHECKS) < LONGEST_S


# ---------------------------------------------------------------- the page


def test_the_page_is_that_of_the_results_and_has_every_claim() -> None:
    text = (ROOT / "docs" / "claims.md").read_text()
    assert report.render("folklore") == text, "run `.venvs/lab/bin/python -m benchmarks.harness.report`"
    for claim in CLAIMS:
        assert text.count(f'<a id="{claim.name}"></a>') == text.count(f"](#{claim.name})") == 1
        assert f'### "{claim.text}"' in text
    assert "no longer" not in text.partition("## Airflow")[2]


def test_the_summary_counts_the_verdicts() -> None:
    counts = {
        word: int(count) for count, word in re.findall(r"(\d+) (true|false|stale|depends)", folklore_page.summary())
    }
    assert sum(counts.values()) == len(CLAIMS)
    assert counts["true"] == sum(claim.verdict == "true" for claim in CLAIMS)


DOUBTED = Claim("doubted", "Any.", "any", "true", "Any.", lambda _: Found("It is 3.", False), more=("make help",))
"""A claim whose figure says otherwise."""


def test_the_page_and_the_command_say_when_figures_no_longer_bear_a_verdict_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    section = folklore_page.section(DOUBTED, folklore_page.Traced([]))
    assert "**True.** It is 3. **These figures no longer bear that out.**" in section
    assert not folklore.show([DOUBTED], Results([]))
    assert "NO LONGER BORNE OUT" in capsys.readouterr().out


def test_the_time_of_a_claim_is_that_of_its_check_and_of_its_questions() -> None:
    claim = next(claim for claim in CLAIMS if claim.check and any("tests.questions" in each for each in claim.more))
    found = recorded()
    assert claim.check is not None
    name, _, on = claim.more[0].partition("-m tests.questions ")[2].partition(" --on ")
    assert [*folklore_page.recorded_s(claim, found)] == [
        found.check(claim.check)["seconds"], found.asked_s(name, on)
    ]  # fmt: skip


def test_a_claim_names_the_pages_that_its_figures_are_from() -> None:
    claims = {claim.name: claim for claim in CLAIMS}
    rows = measure.read("folklore", measure.RESULTS)["rows"]
    for name, origins in {
        "airflow-parallel": ["[limits](guide/limits.md)", "a check of this page"],
        "docker": ["[orchestrators](benchmarks/orchestrators.md)"],
        "copy": ["[load strategies](benchmarks/load-strategies.md)"],
        "delete-append-by-date": ["[faults](faults.md)"],
    }.items():
        found = folklore_page.Traced(rows)
        folklore_page.section(claims[name], found)
        assert [*found.origins] == origins


def test_the_pages_that_lead_to_it_do() -> None:
    for page in ("README.md", "docs/benchmarks/README.md", "docs/guide/README.md"):
        assert "claims.md" in (ROOT / page).read_text()


# ---------------------------------------------------------------- the program


def test_an_unknown_claim_is_named_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        folklore.main(["carrier-pigeon"])
    assert "'carrier-pigeon'" in capsys.readouterr().err


def test_a_recorded_claim_is_shown_without_a_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "server", lambda: pytest.fail("no server is needed"))
    assert folklore.main(["xcom-48-kb"]) == 0
    assert capsys.readouterr().out.startswith('"XCom is limited to 48 KB." Stale.\nA text of 20 MB arrives unchanged.')


@pytest.fixture
def at(tmp_path: Path) -> measure.Server:
    """A server for probes that never connect to it."""
    return measure.Server("postgresql://nobody@127.0.0.1:1/none", None, tmp_path)  # type: ignore[arg-type]


def test_a_probe_meets_an_empty_home_and_no_variable_of_the_caller(
    at: measure.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SCHEDULER__CATCHUP_BY_DEFAULT", "True")
    seen: dict[str, str] = {}

    def ended(words: list[str], env: dict[str, str]) -> tuple[int, str, str]:
        seen.update(env)
        return 0, 'chatter\n{"x": 1}\n', ""

    monkeypatch.setattr(checks, "_ended", ended)
    assert checks.run("airflow_shipped", at) == {"check": "airflow_shipped", "seconds": 0.0, "x": 1}
    assert [name for name in seen if name.startswith("AIRFLOW__")] == []
    assert Path(seen["HOME"]).is_relative_to(at.folder) and not Path(seen["HOME"]).exists()


def test_a_probe_that_fails_says_why(at: measure.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_ended", lambda words, env: (1, "", "Traceback\nImportError: no such name\n"))
    with pytest.raises(BenchmarkError, match="airflow_parse failed: ImportError: no such name"):
        checks.CHECKS["airflow_parse"](at)


def test_what_a_probe_leaves_behind_is_ended(tmp_path: Path) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    program = (
        f"import subprocess, sys, time, pathlib\nsubprocess.Popen([sys.executable, '-c', {child!r}], stdout=-3)\n"
        f"path = pathlib.Path({str(tmp_path / 'pid')!r})\n"
        "while not path.exists() or not path.read_text(): time.sleep(0.01)"
    )
    code, _, _ = checks._ended([sys.executable, "-c", program], {})
    pid = int((tmp_path / "pid").read_text())
    assert code == 0
    until(lambda: has_ended(pid) or None, 30.0, 0.01, "the end of the process that was left behind")


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie until pid 1 has waited for it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_writer_that_begins_as_a_reader_is_refused_at_once_while_another_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "TRANSACTIONS", 3)
    path = writers._new_sqlite(tmp_path / "any.db")
    assert (writers.sqlite_deferred(path, 0), writers.sqlite_immediate(path, 0)) == (0, 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert writers.sqlite_deferred(path, 0) == 3
        assert time.monotonic() - began < writers.TIMEOUT_S / 10
        other.execute("ROLLBACK")
        assert other.execute("SELECT count FROM states WHERE number = 0").fetchall() == [(6,)]


def test_every_subject_has_claims() -> None:
    assert all(SUBJECTS.values())
