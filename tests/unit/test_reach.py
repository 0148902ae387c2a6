"""The DSN that is shown, the logs that are found and followed, and what the help says."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from threading import Thread

import pytest
from typer.main import get_command

from core.errors import UsageError
from core.lab import cli, logs, reach
from core.settings import settings
from core.waiting import until

pytestmark = pytest.mark.usefixtures("command_home")


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://user:s3cret@host:5433/db", "postgresql://user@host:5433/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql:///db?host=/run/pg&password=s3cret", "postgresql:///db?host=%2Frun%2Fpg"),
        ("postgresql://u%40x:s3cret@a:1,b:2/db?sslpassword=s3cret", "postgresql://u%40x@a:1,b:2/db"),
        ("host=h user=u password='s3 cret' dbname=db", "user=u dbname=db host=h"),
    ],
)
def test_a_password_is_not_shown(
    dsn: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIPTYCH_DSN", dsn)
    assert cli.main(["dsn"]) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(shown.split())
    assert reach.without_secrets(shown) == shown or " " in shown
    assert cli.main(["dsn", "--show-password"]) == 0
    assert capsys.readouterr().out.strip() == dsn


def test_no_dsn_without_a_server(command_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dsn"]) == 2
    assert "`triptych up plain` starts it" in capsys.readouterr().err
    assert not command_home.exists()


def write(command_home: Path, name: str, text: str) -> Path:
    path = command_home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_logs_are_chosen_by_name(command_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("airflow/logs/scheduler.log", "airflow/logs/api-server.log", "prefect/logs/worker.log"):
        write(command_home, name, "one\ntwo\nthree\n")
    write(command_home, "postgres/log", "ready\n")
    found = settings.__wrapped__()
    assert list(logs.find(found)) == ["postgres", "airflow/api-server", "airflow/scheduler", "prefect/worker"]
    assert list(logs.find(found, ["airflow"])) == ["airflow/api-server", "airflow/scheduler"]
    assert list(logs.find(found, ["prefect/worker", "postgres"])) == ["prefect/worker", "postgres"]
    with pytest.raises(UsageError, match="there is no log of 'luigi': choose from postgres, airflow/api-server"):
        logs.find(found, ["luigi"])
    assert cli.main(["logs", "airflow/scheduler", "-n", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["two", "three"]


def test_the_colors_of_a_log_are_left_out(command_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(command_home, "dagster/logs/webserver.log", "\x1b[32m2026-11-29\x1b[0m - \x1b[1;34mINFO\x1b[0m - ready\n")
    assert cli.main(["logs", "dagster"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["2026-11-29 - INFO - ready"]


def test_no_logs_yet_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["logs"]) == 2
    assert "has no logs yet" in capsys.readouterr().err


def test_new_lines_are_followed_when_they_are_whole(command_home: Path) -> None:
    path = write(command_home, "postgres/log", "old\n")
    seen: list[tuple[str, str]] = []

    def grow() -> bool | None:
        # Again and again: what is written before the reader has opened the file is not new.
        for part in ("ne", "w\n"):
            with path.open("a") as file:
                file.write(part)
        return len(seen) == 2 or None

    reader = Thread(target=lambda: seen.extend(islice(logs.follow({"postgres": path}), 2)))
    reader.start()
    until(lambda: grow() or (not reader.is_alive()) or None, 20, 0.05, "two lines")
    reader.join(20)
    # The reader may have opened the file between the two halves of its first line.
    assert seen[0] in [("postgres", "new"), ("postgres", "w")]
    assert seen[1] == ("postgres", "new")


def test_the_version_and_the_short_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("triptych 0.")
    assert cli.main(["-h"]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_every_command_fits_80_columns_and_shows_an_example() -> None:
    commands = get_command(cli.app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert not command.get_short_help_str(80 - len("  backfill  ")).endswith("..."), name
        assert command.epilog.startswith(f"Example: triptych {name}"), name


def test_json_on_standard_output_is_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json", "-"]) == 0
    services = json.loads(capsys.readouterr().out)["services"]
    assert {"name": "postgres", "state": "not running"}.items() <= services[0].items()
    cli.main(["doctor", "--json", "-"])
    assert json.loads(capsys.readouterr().out)["findings"][0]["what"] == "Python"
