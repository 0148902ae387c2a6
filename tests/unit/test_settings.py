"""One reader of the environment: defaults, overrides, and what is malformed is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from core.settings import ROOT, TLC_URL, Settings


def test_an_empty_environment_means_the_defaults() -> None:
    found = Settings.read({})
    assert (found.home, found.dsn, found.tlc_url) == (ROOT / ".triptych", None, TLC_URL)


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    empty = dict.fromkeys(("TRIPTYCH_HOME", "TRIPTYCH_DSN", "TRIPTYCH_TLC_URL", "TRIPTYCH_LOCK_WAIT_S", "PG_BIN"), "")
    found, default = Settings.read(empty), Settings.read({})
    assert (found.home, found.dsn, found.tlc_url, found.lock_wait_s, found.pg_bin) == (
        default.home, default.dsn, default.tlc_url, default.lock_wait_s, default.pg_bin,
    )  # fmt: skip


def test_what_is_set_counts(tmp_path: Path) -> None:
    found = Settings.read(
        {
            "TRIPTYCH_HOME": str(tmp_path), "TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_LOCK_WAIT_S": "0.5",
            "TRIPTYCH_TLC_URL": "http://localhost:1/x", "PG_BIN": "/opt/pg/bin",
        }
    )  # fmt: skip
    assert (found.home, found.dsn, found.lock_wait_s) == (tmp_path, "postgresql://h/d", 0.5)
    assert (found.tlc_url, found.pg_bin) == ("http://localhost:1/x", Path("/opt/pg/bin"))


def test_a_relative_home_does_not_move_with_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.read({"TRIPTYCH_HOME": "state"}).home == tmp_path / "state"


@pytest.mark.parametrize("text", ["soon", "5 s", "nan", "inf", "0", "-1", "1e-9", "1e12"])
def test_a_wait_that_is_no_sensible_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TRIPTYCH_LOCK_WAIT_S=") as caught:
        Settings.read({"TRIPTYCH_LOCK_WAIT_S": text})
    assert repr(text) in str(caught.value)


def test_a_missing_dsn_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="TRIPTYCH_DSN is not set: run through `triptych`"):
        Settings.read({}).require_dsn()


def test_the_password_does_not_show_when_settings_are_printed() -> None:
    found = Settings.read({"TRIPTYCH_DSN": "postgresql://u:s3cret@h/d"})
    assert "s3cret" not in f"{found!r} {found}"


@pytest.mark.parametrize("text", ["much", "nan", "0", "-1", "1e12"])
def test_a_limit_that_is_no_sensible_number_is_refused(text: str) -> None:
    for name in ("TRIPTYCH_MAX_FILE_MB", "TRIPTYCH_DOWNLOAD_S"):
        with pytest.raises(UsageError, match=f"{name}=") as caught:
            Settings.read({name: text})
        assert repr(text) in str(caught.value)


def test_the_keys_of_object_stores_are_passed_on_and_not_shown() -> None:
    keys = {
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AZURE_STORAGE_ACCOUNT_KEY": "s3cret",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "s3cret",
    }
    found = Settings.read({**keys, "MY_AWS_KEY": "s3cret", "SECRET_OF_THE_SHELL": "1"})
    assert found.passed_on == keys
    assert "s3cret" not in f"{found!r} {found}"
