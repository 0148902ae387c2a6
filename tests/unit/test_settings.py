"""One reader of the environment: defaults, overrides, and an error that names a malformed variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import UsageError
from core.settings import ROOT, TLC_URL, Settings, default_source, is_state_folder, private, state_folder


def test_an_empty_environment_means_the_defaults() -> None:
    found = Settings.read({})
    assert (found.home, found.dsn, found.tlc_url) == (ROOT / ".triptych", None, TLC_URL)


def test_an_empty_variable_counts_as_not_set() -> None:
    empty = dict.fromkeys(("TRIPTYCH_HOME", "TRIPTYCH_DSN", "TRIPTYCH_TLC_URL", "TRIPTYCH_LOCK_WAIT_S", "PG_BIN"), "")
    found, default = Settings.read(empty), Settings.read({})
    assert (found.home, found.dsn, found.tlc_url, found.lock_wait_s, found.pg_bin) == (
        default.home, default.dsn, default.tlc_url, default.lock_wait_s, default.pg_bin,
    )  # fmt: skip


def test_a_variable_overrides_the_default(tmp_path: Path) -> None:
    found = Settings.read(
        {
            "TRIPTYCH_HOME": str(tmp_path), "TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_LOCK_WAIT_S": "0.5",
            "TRIPTYCH_TLC_URL": "http://localhost:1/x", "PG_BIN": "/opt/pg/bin",
        }
    )  # fmt: skip
    assert (found.home, found.dsn, found.lock_wait_s) == (tmp_path, "postgresql://h/d", 0.5)
    assert (found.tlc_url, found.pg_bin) == ("http://localhost:1/x", Path("/opt/pg/bin"))


def test_the_stall_limit_follows_the_download_limit_and_stays_in_the_lab() -> None:
    """Running services need no restart because one backfill has another limit: it is not among their settings."""
    assert Settings.read({}).stall_s == 7200
    assert Settings.read({"TRIPTYCH_DOWNLOAD_S": "3600"}).stall_s == 14_400
    found = Settings.read({"TRIPTYCH_STALL_S": "60", "TRIPTYCH_DOWNLOAD_S": "30"})
    assert (found.stall_s, list(found.passed_on)) == (60, ["TRIPTYCH_DOWNLOAD_S"])


@pytest.mark.parametrize(
    ("named", "expected"),
    [("", "sample"), ("sample", "sample"), ("tlc", "tlc"), ("s3://bucket/x", "s3://bucket/x"), ("/data", "/data")],
)
def test_a_run_that_names_no_source_loads_the_default_one(named: str, expected: str) -> None:
    assert default_source({"TRIPTYCH_SOURCE": named}) == expected
    assert Settings.read({"TRIPTYCH_SOURCE": named}).passed_on["TRIPTYCH_SOURCE"] == named


def test_a_relative_folder_as_default_source_does_not_move_with_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"TRIPTYCH_SOURCE": "published"}
    assert default_source(environ) == str(tmp_path / "published") == Settings.read(environ).passed_on["TRIPTYCH_SOURCE"]


@pytest.mark.parametrize("address", ["https://me:s3cret@host/x", "az://box/x?sig=s3cret"])
def test_a_default_source_with_a_secret_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"^TRIPTYCH_SOURCE holds a password or a query") as caught:
        default_source({"TRIPTYCH_SOURCE": address})
    assert "s3cret" not in str(caught.value)


def test_a_relative_home_does_not_move_with_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.read({"TRIPTYCH_HOME": "state"}).home == tmp_path / "state"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "not a folder"),
        ("loop", "(Symlink loop|symbolic links)"),
        ("x" * 300, "File name too long"),
        ("\udcff", "not UTF-8"),
    ],
    ids=["file", "loop", "long", "not utf-8"],
)
def test_a_home_that_is_not_a_folder_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match=f"TRIPTYCH_HOME=.*{reason}.*; name a folder that you may write to"):
        Settings.read({"TRIPTYCH_HOME": str(tmp_path / name)})


def test_a_home_that_can_not_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file" / "home", Path("/proc/home")):
        with pytest.raises(UsageError, match=f"TRIPTYCH_HOME={home}: .*; name a folder that you may write to"):
            state_folder(home)


def test_only_a_home_that_was_new_or_empty_is_wholly_ours(tmp_path: Path) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "thesis").touch()
    for name, ours in (("new", True), ("empty", True), ("full", False)):
        home = state_folder(tmp_path / name)
        (home / "files").mkdir()
        assert is_state_folder(state_folder(home)) is ours
    assert is_state_folder(ROOT / ".triptych")


@pytest.mark.parametrize("text", ["soon", "5 s", "nan", "inf", "0", "-1", "1e-9", "1e12"])
def test_a_malformed_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="TRIPTYCH_LOCK_WAIT_S=") as caught:
        Settings.read({"TRIPTYCH_LOCK_WAIT_S": text})
    assert repr(text) in str(caught.value)


def test_a_missing_dsn_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="TRIPTYCH_DSN is not set: run through `triptych`"):
        Settings.read({}).require_dsn()


def test_printed_settings_do_not_show_the_password() -> None:
    found = Settings.read({"TRIPTYCH_DSN": "postgresql://u:s3cret@h/d"})
    assert "s3cret" not in f"{found!r} {found}"


@pytest.mark.parametrize("text", ["much", "nan", "0", "-1", "1e12"])
def test_a_malformed_limit_is_refused(text: str) -> None:
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


def test_the_files_with_aws_profiles_are_passed_on_by_absolute_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child of the lab has another HOME, and works in another folder."""
    assert Settings.read({"HOME": str(tmp_path)}).passed_on == {}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").touch()
    config = {"AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config")}
    assert Settings.read({"HOME": str(tmp_path)}).passed_on == config
    monkeypatch.chdir(tmp_path)
    for named in ("~/.aws/config", ".aws/config"):
        assert Settings.read({"HOME": str(tmp_path), "AWS_CONFIG_FILE": named}).passed_on == config


# --- the DSN from a file ---

DSN = "postgresql://u:s3cret@h/d"


def write_dsn(path: Path, text: str = DSN + "\n", mode: int = 0o600) -> dict[str, str]:
    """Write a file with a DSN; return an environment that names it."""
    path.write_text(text)
    path.chmod(mode)
    return {"TRIPTYCH_DSN_FILE": str(path)}


def test_the_dsn_may_be_in_a_file_and_is_not_passed_on(tmp_path: Path) -> None:
    found = Settings.read(write_dsn(tmp_path / "dsn"))
    assert (found.dsn, found.passed_on) == (DSN, {})
    assert Settings.read(write_dsn(tmp_path / "read-only", mode=0o400)).dsn == DSN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_with_a_secret_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    environ = write_dsn(tmp_path / "dsn", mode=mode)
    with pytest.raises(UsageError, match=r"^TRIPTYCH_DSN_FILE=.*dsn is not yours alone: .*`chmod 600` it$") as caught:
        Settings.read(environ)
    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_file_with_a_secret_of_another_owner_is_refused(tmp_path: Path) -> None:
    environ = write_dsn(tmp_path / "dsn")
    os.chown(tmp_path / "dsn", 65534, -1)
    with pytest.raises(UsageError, match="is not yours alone"):
        Settings.read(environ)


def test_other_than_a_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    refused = {
        "pipe": "is not a regular file", "folder": "is not a regular file",
        "none": "No such file", "x" * 300: "File name too long",
    }  # fmt: skip
    for name, said in refused.items():
        with pytest.raises(UsageError, match=said):
            Settings.read({"TRIPTYCH_DSN_FILE": str(tmp_path / name)})
    with pytest.raises(UsageError, match="is empty: write postgresql"):
        Settings.read(write_dsn(tmp_path / "empty", " \n"))


def test_the_target_of_a_link_is_checked(tmp_path: Path) -> None:
    write_dsn(tmp_path / "dsn", mode=0o644)
    (tmp_path / "link").symlink_to("dsn")
    with pytest.raises(UsageError, match="is not yours alone"):
        Settings.read({"TRIPTYCH_DSN_FILE": str(tmp_path / "link")})
    (tmp_path / "dsn").chmod(0o600)
    assert Settings.read({"TRIPTYCH_DSN_FILE": str(tmp_path / "link")}).dsn == DSN


def test_a_dsn_and_a_file_with_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are both set"):
        Settings.read({**write_dsn(tmp_path / "dsn"), "TRIPTYCH_DSN": DSN})


# --- folders ---


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_private_folder_is_for_its_owner_only_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    before = os.umask(umask)
    try:
        made = private(there / "a" / "b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (made, made.parent, there)] == [0o700, 0o700, 0o755]
    assert private(made) == made


@pytest.mark.parametrize(
    ("variables", "namespace"),
    [
        ({}, None),
        ({"OPENLINEAGE_NAMESPACE": "taxis"}, None),
        ({"OPENLINEAGE_URL": ""}, None),
        ({"OPENLINEAGE_URL": "http://localhost:5000"}, "triptych"),
        ({"OPENLINEAGE_URL": "http://localhost:5000", "OPENLINEAGE_NAMESPACE": "taxis"}, "taxis"),
        ({"OPENLINEAGE_URL": "http://localhost:5000", "OPENLINEAGE_DISABLED": "True"}, None),
        ({"OPENLINEAGE_CONFIG": "/etc/openlineage.yml"}, "triptych"),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "file"}, "triptych"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "console"}'}, "triptych"),
    ],
)
def test_lineage_is_told_only_where_the_environment_says_where_to(
    variables: dict[str, str], namespace: str | None
) -> None:
    assert Settings.read(variables).lineage == namespace


def test_the_variables_of_lineage_are_passed_on_and_not_shown() -> None:
    variables = {"OPENLINEAGE_URL": "http://localhost:5000", "OPENLINEAGE_API_KEY": "s3cret"}
    settings = Settings.read(variables)
    assert settings.passed_on == variables
    assert "s3cret" not in repr(settings)


def test_endpoints_name_an_address_for_each_orchestrator_and_stay_in_the_lab() -> None:
    found = Settings.read(
        {"TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_ENDPOINTS": "airflow=http://h:8080/, dagster=https://h/dagster"}
    )
    assert found.endpoints == {"airflow": "http://h:8080", "dagster": "https://h/dagster"}
    assert "TRIPTYCH_ENDPOINTS" not in found.passed_on


@pytest.mark.parametrize(
    "entry",
    ["airflow", "=http://h", "airflow=h:8080", "airflow=ftp://h", "airflow=http://", "airflow=http://h:port",
     "airflow=http://h:0", "airflow=http://h?x=1"],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match=r"TRIPTYCH_ENDPOINTS: .* is not <orchestrator>=http://host:port"):
        Settings.read({"TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_ENDPOINTS": entry})


def test_an_endpoint_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="without a user") as refused:
        Settings.read({"TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_ENDPOINTS": "airflow=http://me:s3cret@h"})
    assert "s3cret" not in str(refused.value)


def test_services_elsewhere_need_the_warehouse_that_they_load_into() -> None:
    with pytest.raises(UsageError, match="TRIPTYCH_DSN too"):
        Settings.read({"TRIPTYCH_ENDPOINTS": "airflow=http://h:8080"})
