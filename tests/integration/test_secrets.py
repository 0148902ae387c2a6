"""Canaries in the warehouse's DSN and the object stores' keys are nowhere else after runs that succeed or fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.extract import sample
from core.month import parse_months
from tests.planted import PASSWORD, files, leaks, tables

pytestmark = pytest.mark.slow

KEYS = {
    "AWS_ACCESS_KEY_ID": "c4nary-aws-id", "AWS_SECRET_ACCESS_KEY": "c4nary/aws+key==",
    "AWS_SESSION_TOKEN": "c4nary-aws-token",
    "AWS_ENDPOINT": "http://127.0.0.1:1", "AWS_ALLOW_HTTP": "true",
    "AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": "YzRuYXJ5LWF6dXJlLWtleQ==",
    "GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "c4nary-google-key"}',
}  # fmt: skip
OTHER = "c4nary-of-a-source"
SECRETS = [
    PASSWORD,
    OTHER,
    *(value for key, value in KEYS.items() if "KEY" in key or "TOKEN" in key),
    "c4nary-google-key",
]

LEAKY_DBT = '#!/bin/sh\necho "could not connect with $DBT_ENV_SECRET_PGPASSWORD" >&2\nexit 1\n'

Triptych = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def canary(postgres: str) -> Iterator[str]:
    """The DSN of a database whose owner's password is a canary."""
    name = f"canary_{os.getpid()}"
    who = sql.Identifier(name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(who, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(who, who))
        parts = conninfo_to_dict(postgres)
        yield f"postgresql://{name}:{quote(PASSWORD, safe='')}@{parts['host']}:{parts['port']}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(who))
        connection.execute(sql.SQL("DROP ROLE {}").format(who))


@pytest.fixture
def triptych(tmp_path: Path, canary: str) -> Iterator[Triptych]:
    """Run a command with -v and all canaries in its environment."""
    env = {
        **os.environ,
        **KEYS,
        "TRIPTYCH_HOME": str(tmp_path / "state"),
        "TRIPTYCH_DSN": canary,
        "TRIPTYCH_DSN_FILE": "",
    }

    said: list[tuple[str, bytes]] = []

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "core.lab.cli", "-v", *words], env=env | more, cwd=tmp_path,
            capture_output=True, text=True,
        )  # fmt: skip
        said.append((" ".join(words), f"{done.stdout}{done.stderr}".encode()))
        return done

    yield run
    assert run("down").returncode == 0
    assert leaks(SECRETS, said) == []


def test_no_secret_is_left_behind(
    triptych: Triptych, canary: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        sample.ensure(folder, parse_months("2024-01"), rows=200)
    (bad / sample.file_name(parse_months("2024-01")[0])).write_bytes(b"PAR1 is all that it has")
    (tmp_path / "leaky").write_text(LEAKY_DBT)
    (tmp_path / "leaky").chmod(0o700)

    def backfill(source: object, month: str = "2024-01", schema: str = "plain", **more: str) -> tuple[int, str]:
        words = [
            month,
            "--on",
            "plain",
            "--source",
            str(source),
            "--schema",
            schema,
            "--json",
            str(tmp_path / "facts.json"),
        ]
        done = triptych("backfill", *words, **more)
        return done.returncode, done.stdout + done.stderr

    def fails(code: int, said: str, source: object = good, **more: str) -> None:
        answer = backfill(source, **more)
        assert answer[0] == code and said in answer[1], answer

    assert backfill(good)[0] == 0
    fails(1, "no green_tripdata_2024-05.parquet", month="2024-05")
    fails(1, "is cut off", bad)
    fails(1, "could not connect with ***", schema="other", TRIPTYCH_DBT=str(tmp_path / "leaky"))
    fails(1, "the store refuses connections", "s3://bucket/folder")
    fails(2, "write it without user", f"http://user:{OTHER}@127.0.0.1:1/x")
    wrong = make_conninfo(canary, password=PASSWORD + "!")
    fails(2, "password authentication failed", TRIPTYCH_DSN=wrong)
    fails(1, "check that it runs", TRIPTYCH_DSN=make_conninfo(canary, port=1))
    fails(2, "is not a DSN", TRIPTYCH_DSN=f"postgresql://user:{PASSWORD}@127.0.0.1:1/x")
    private = tmp_path_factory.mktemp("private") / "dsn"
    private.touch(0o600)
    private.write_text(canary)
    assert "1 unchanged" in backfill(good, TRIPTYCH_DSN="", TRIPTYCH_DSN_FILE=str(private))[1]
    for words in ("ledger", "parity --schemas plain", "status", "doctor"):
        done = triptych(*words.split())
        assert "Traceback" not in done.stderr, done.stderr
    left = list(files(tmp_path))
    assert {"dbt.log", "manifest.json", "result.json", "log"} <= {Path(name).name for name, _ in left}
    assert leaks(SECRETS, left) == []
    kept = list(tables(canary))
    assert {"plain.load_ledger", "plain.test_results"} <= {name for name, _ in kept}
    assert leaks(SECRETS, kept) == []
