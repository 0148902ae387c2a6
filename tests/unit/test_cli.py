"""A usage error is one line and exit code 2, before anything is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from core.errors import PermanentError, UsageError
from core.lab import arguments, cli, exits
from core.lab.protocol import BackfillRequest, BackfillResult, MonthRecord
from core.lab.registry import Orchestrator
from core.month import parse_months
from core.run import HELP, JOBS, RunParameters
from core.settings import ROOT, default_source
from tests.integration.fake_orchestrators import make_orchestrator

TOY = Path(__file__).resolve().parents[1] / "toy_impl"

pytestmark = pytest.mark.usefixtures("command_home")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("backfill 2024-13 --on plain", "'2024-13' is not a month: write it YYYY-MM, as in 2024-01"),
        ("backfill ../../etc --on plain", "'../../etc' is not a range of months"),
        ("backfill 2024-03..2024-01 --on plain", "the range 2024-03..2024-01 ends before it starts"),
        ("backfill 2024-01", "Missing option '--on'. See `triptych backfill -h`."),
        ("backfill --on plain", "Missing argument"),
        ("backfill 2024-01 --on luigi", "unknown orchestrator 'luigi': choose from plain, "),
        (
            "backfill 2024-01 --on plain --strategy merge",
            "'merge' is not one of 'swap', 'delete-append', 'overwrite', 'upsert'",
        ),
        ("backfill 2024-01 --on plain --jobs 0", "--jobs"),
        ("backfill 2024-01 --on plain --as two-runs", "'two-runs' is not one of 'runs', 'one-run'"),
        ("backfill 2024-01 --on plain --as one-run", "plain can't run a backfill as one run: Its backfill is one proc"),
        ("backfill 2024-01 --on airflow --as one-run --jobs 3", "--jobs 3 --as one-run: in one run its own setting"),
        ("backfill 2024-01 --on plain --source /no/such/folder", "--source /no/such/folder: no such folder"),
        ("backfill 2019-12..2024-01 --on plain --source sample", "there is no sample data for 2019-12: name months in"),
        ("backfill 2024-01 --on plain --source ftp://u:s3cret@host/x", "source ftp://...: write sample (generated), "),
        ("backfill 2024-01 --on plain --source http://u:s3cret@host/x", "source http://host: write it without user"),
        ("backfill 2024-01 --on plain --source s3://u:s3cret@host/x", "source s3://... names no bucket"),
        ("backfill 2024-01 --on plain --schema pg_catalog", "'pg_catalog' can't be a schema name"),
        ("backfill 2024-01 --on plain --json /no/such/folder/x", "--json /no/such/folder/x: there is no folder"),
        ("parity --json /no/such/folder/x", "--json /no/such/folder/x: there is no folder"),
        ("backfill 2024-01 --on plain --json /", "--json /: this is no regular file; name one"),
        ("backfill 2024-01 --on plain --json .", "--json .: this is no regular file; name one"),
        ("parity --json /dev/null", "--json /dev/null: this is no regular file; name one"),
        ("backfill 2024-01 --on plain --schema Mine", "'Mine' can't be a schema name: write 1 to 40 characters of a-z"),
        ("ledger --schema 1st", "'1st' can't be a schema name"),
        ("run taxi_pipeline --month 2024-01", "Missing option '--on'"),
        ("run taxi_pipeline --on plain,dagster --month 2024-01", "--on plain,dagster: name one orchestrator; choose"),
        ("run taxi --on plain", "plain has no pipeline 'taxi': choose from taxi_pipeline"),
        ("run taxi_pipeline --on plain", "taxi_pipeline needs a month, as in --month 2024-01"),
        ("run taxi_pipeline --on plain --month 2024-13", "'2024-13' is not a month"),
        (
            "run taxi_pipeline --on plain --month 2024-01 --set a=b",
            "taxi_pipeline has no parameter 'a': choose from",
        ),
        (
            "run taxi_pipeline --on plain --month 2024-01 --set force",
            "--set force: write it NAME=VALUE, as in",
        ),
        (
            "run taxi_pipeline --on plain --month 2024-01 --set force=maybe",
            "taxi_pipeline can't take force=maybe: write true or false",
        ),
        (
            "run taxi_pipeline --on plain --month 2024-01 --set strategy=merge",
            "taxi_pipeline can't take strategy=merge: choose from swap, delete-append, overwrite, upsert",
        ),
        ("run taxi_pipeline --on plain --month 2024-01 --set schema=pg_catalog", "'pg_catalog' can't be a schema name"),
        ("run taxi_pipeline --on plain --month 2024-01 --set source=/no/such", "--source /no/such: no such folder"),
        ("run taxi_pipeline --on plain --month 2024-01 --json /", "--json /: this is no regular file; name one"),
        ("runs --on luigi", "unknown orchestrator 'luigi': choose from plain, "),
        ("history 2024-13", "'2024-13' is not a month: write it YYYY-MM, as in 2024-01"),
        ("history 2013-07", "2013-07 is before 2013-08"),
        ("history --on luigi", "unknown orchestrator 'luigi': choose from plain, "),
        ("history --dataset red", "'red' is not one of 'green', 'yellow'"),
        ("history --schema 1st", "'1st' can't be a schema name"),
        ("history --json /", "--json /: this is no regular file; name one"),
        ("runs --limit 0", "--limit"),
        ("parity --schemas ,", "--schemas ',' names nothing; write a,b"),
        ("parity --tables ,", "--tables ',' names nothing; write a,b"),
        ('parity --tables "a,b', "--tables '\"a,b': unexpected end of data; write a,b"),
        ("parity --months 2024", "'2024' is not a month: write it YYYY-MM, as in 2024-01"),
        ("parity --months 0000-01", "0000-01 is before 0001-01"),
        ("migrate 2024-01..2024-04 --from plain --to plain --at 2024-03", "--from plain --to plain: name two orchest"),
        ("migrate 2024-01..2024-04 --from plain --to luigi --at 2024-03", "unknown orchestrator 'luigi': choose from"),
        ("migrate 2024-01..2024-04 --from plain,dagster --to plain --at 2024-03", "--from plain,dagster: name one orc"),
        ("migrate 2024-01..2024-04 --from plain --to all --at 2024-03", "--to all: name one orchestrator; choose from"),
        ("migrate 2024-01..2024-04 --from plain --to dagster", "Missing option '--at'"),
        (
            "migrate 2024-01..2024-04 --from plain --to dagster --at 2024-05",
            "--at 2024-05: 2024-05 is not in 2024-01..",
        ),
        ("migrate 2024-01..2024-04 --from plain --to dagster --at 2024-01", "--at 2024-01: no month comes before it"),
        (
            "migrate 2024-01..2024-04 --from plain --to dagster --at 2024-02,2024-04",
            "other months lie in between; name",
        ),
        ("migrate 2024-01..2024-04 --from plain --to dagster --at July", "'July' is not a month"),
        (
            "migrate 2024-01..2024-04 --from plain --to dagster --at 2024-03 --schema Mine",
            "'Mine' can't be a schema name",
        ),
        (
            f"migrate 2024-01..2024-04 --from plain --to dagster --at 2024-03 --schema {'m' * 34}",
            f"'{'m' * 34}_shadow' can't be a schema name: write 1 to 40 characters",
        ),
        (
            "migrate 2024-01..2024-04 --from plain --to dagster --at 2024-03 --source /no/such/folder",
            "--source /no/such/folder: no such folder",
        ),
        ("migrate 2024-01..2024-04 --from plain --to dagster --at 2024-03 --json /", "--json /: this is no regular"),
        ("up luigi", "unknown orchestrator 'luigi'"),
        ("backfil", "No such command 'backfil'"),
        ("backfill 2024-01 --on plain --dry-run", "No such option: --dry-run"),
    ],
)
def test_a_usage_error_is_one_line(
    words: str, message: str, command_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triptych: ")
    assert err.count("\n") == 1
    assert message in err
    assert "s3cret" not in err
    assert not command_home.exists(), "nothing was started"


def test_a_verb_that_a_runner_lacks_is_named(
    tmp_path: Path, command_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_orchestrator(tmp_path, "basic", ports="['web']")
    monkeypatch.setenv("TRIPTYCH_IMPLS", str(tmp_path / "basic_impl"))
    assert cli.main(["run", "taxi_pipeline", "--on", "basic", "--month", "2024-01"]) == 2
    assert capsys.readouterr().err == (
        "triptych: basic can't `start` yet: its runner lacks this verb of the runner protocol\n"
    )
    assert cli.main(["runs", "--on", "basic"]) == 0
    assert capsys.readouterr() == ("no runs\n", "basic: its runs can't be listed yet\n")
    assert not command_home.exists(), "nothing was started"


def test_the_history_names_an_orchestrator_that_does_not_run(
    command_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIPTYCH_IMPLS", str(TOY))
    assert cli.main(["runs", "--on", "plain,toy", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"runs": []}, "toy: not running; `triptych up toy` shows its runs\n")
    assert not command_home.exists(), "nothing was started"


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("a,b", ["a", "b"]),
        (" a , b,,a", ["a", "b"]),
        ('Old sales,"c, d"', ["Old sales", "c, d"]),
        ('"say ""hi"""', ['say "hi"']),
        ('Two "words"', ['Two "words"']),
    ],
)
def test_names_are_listed_between_commas(text: str, listed: list[str]) -> None:
    assert arguments.names(text, "--tables") == listed


def test_the_traceback_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backfill", "2024-13", "--on", "plain", "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a file", "a folder of somebody's"])
def test_a_folder_that_is_not_ours_is_not_deleted(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / name
    if name != "a file":
        kept.mkdir()
        kept /= "thesis"
    kept.write_text("years of work")
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / name))
    assert cli.main(["down", "--wipe"]) == 2
    assert kept.read_text() == "years of work"
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), str(tmp_path / name) in err) == ("", 1, True)


def test_a_json_file_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match=f"--json {tmp_path}/x: you may not write to the folder {tmp_path}"):
        arguments.check_json(tmp_path / "x")
    with pytest.raises(PermanentError, match=f"--json {tmp_path}: Is a directory; the tables are as the ledger says"):
        arguments.write(tmp_path, {})
    assert list(tmp_path.parent.glob(f".{tmp_path.name}.*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_output_that_cannot_be_written_is_no_bug() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "core.lab.cli", "status"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "triptych: the output can't be written: No space left on device\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["backfill", "--help"]])
def test_help_is_no_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith("Usage: triptych")


@pytest.mark.parametrize(
    "source", ["sample", "tlc", "https://host/x", "s3://bucket/x", "az://container/x", "gs://bucket/x"]
)
def test_a_source_that_is_no_folder_is_passed_on_as_it_is(source: str) -> None:
    assert arguments.resolve_source(source, parse_months("2024-01")) == source


@pytest.mark.parametrize("named", [None, "tlc"])
def test_a_backfill_without_a_source_loads_the_default_one(monkeypatch: pytest.MonkeyPatch, named: str | None) -> None:
    monkeypatch.delenv("TRIPTYCH_SOURCE", raising=False)
    if named:
        monkeypatch.setenv("TRIPTYCH_SOURCE", named)
    backfill = create_autospec(cli._backfill, return_value=0)
    monkeypatch.setattr(cli, "_backfill", backfill)
    assert cli.main(["backfill", "2024-01", "--on", "plain"]) == 0
    _, _, source, schema, parameters, jobs, _ = backfill.call_args.args
    assert (source, schema, jobs) == (default_source(), None, JOBS)
    assert RunParameters(source, "plain", **parameters) == RunParameters(named or "sample", "plain")


def test_the_help_explains_each_run_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backfill", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [name for name, text in HELP.items() if text not in shown] == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("triptych up d", ["dagster"]),
        ("triptych backfill --on a", ["airflow", "all"]),
        ("triptych migrate --from d", ["dagster"]),
        ("triptych migrate --from dagster --to a", ["airflow"]),
        ("triptych migrate --source t", ["tlc"]),
        ("triptych backfill --on plain,airflow,p", ["plain,airflow,prefect"]),
        ("triptych backfill --source s", ["sample"]),
        ("triptych backfill --source /", []),
        ("triptych backfill --strategy up", ["upsert"]),
        ("triptych backfill --schema p", []),
    ],
)
def test_a_shell_is_offered_names(
    line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(exits.COMPLETION, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert cli.main([]) == 0
    assert capsys.readouterr().out.split() == offered


@pytest.mark.parametrize("found", [True, False])
def test_pages_are_opened_where_there_is_a_browser(
    found: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def open_page(page: str) -> bool:
        opened.append(page)
        return found

    monkeypatch.setattr("webbrowser.open", open_page)
    cli._open_pages(["http://127.0.0.1:1", "http://127.0.0.1:2"])
    assert opened == ["http://127.0.0.1:1", "http://127.0.0.1:2"][: 2 if found else 1]
    assert ("no browser was found" in capsys.readouterr().err) is not found


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from core.lab import cli; cli.main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pyarrow", "psycopg", "httpx", "psutil", "rich"} & set(done.stderr.split())


def test_a_server_that_does_not_answer_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIPTYCH_DSN", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert cli.main(["parity"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "PostgreSQL at 127.0.0.1:1/db" in err
    assert "s3cret" not in err


LONG = "x" * 5000


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b]0;owned\x07\x1b[31m", "-rf", "\u202egpj.exe", "caf\udce9", "[/red]", LONG, "a'b\"c"]
)
def test_a_hostile_name_of_a_folder_is_one_line_for_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backfill", "2024-01", "--on", "plain", f"--source={name}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("triptych: --source ")
    assert err.endswith(f": no such folder; write {HELP['source']}\n")
    assert err.rstrip("\n").isprintable()


def test_the_json_of_a_backfill_has_the_documented_shape() -> None:
    orchestrator = Orchestrator("plain", "m", Path("python"), Path())
    months = [MonthRecord("2024-01", "success", 1, 7, "sha", "digest", "start", "end", warnings=["odd"])]
    request = BackfillRequest(["2024-01"], "sample", "plain")
    facts = cli.backfill_json(
        ["2024-01"], None, {orchestrator: request}, {"plain": BackfillResult("success", "3", 1.5, months)}
    )
    assert json.loads(json.dumps(facts)) == facts
    assert facts["months"] == ["2024-01"]
    (plain,) = facts["orchestrators"].values()  # type: ignore[attr-defined]
    assert {key: plain[key] for key in ("status", "version", "seconds", "schema")} == {
        "status": "success", "version": "3", "seconds": 1.5, "schema": "plain",
    }  # fmt: skip
    assert plain["months"][0].items() >= {
        "month": "2024-01", "state": "success", "attempts": 1, "rows": 7, "source_sha256": "sha", "digest": "digest",
        "started_at": "start", "ended_at": "end", "error": None,
        "warnings": ["odd"],
    }.items()  # fmt: skip


def test_the_readme_shows_what_demo_says_next() -> None:
    assert "\n".join(["", *cli.NEXT, "```"]) in (ROOT / "README.md").read_text()
