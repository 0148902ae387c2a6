"""The dbt models of a schema, built by `core.transform` on a real PostgreSQL with a real dbt."""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import json
import logging
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from core import digest, pipeline, transform
from core.database import connect, lock_key
from core.errors import Busy, CheckFailed, DatabaseUnavailable, TransformFailed, TransientError, UsageError
from core.month import Month, parse_months
from core.run import Run
from core.settings import settings
from core.transform import dbt, project
from core.waiting import until
from tests.integration.marts import Publisher, Row, Watch, forget_version, project_copy, query

pytestmark = pytest.mark.slow


@pytest.fixture(params=["cold", "warm"])
def either_way(request: pytest.FixtureRequest) -> str:
    """Run the test twice: with a cold dbt, and with the warm server."""
    if request.param == "warm":
        request.getfixturevalue("warm_dbt")
    return str(request.param)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dbt commands that were run."""
    commands: list[str] = []
    run = dbt.run

    def counted(command: dbt.Command) -> dbt.Completed:
        commands.append(command.arguments[0])
        return run(command)

    monkeypatch.setattr(dbt, "run", counted)
    return commands


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def digests(schema: str) -> list[str]:
    with connect("test") as connection:
        return [digest.table(connection, schema, name).hex for name in ("fct_trips", "daily_borough_stats")]


HARD: list[Row] = [
    {
        "fare_amount": float("nan"),
        "tip_amount": -0.0,
        "total_amount": 1.005,
        "trip_distance": 0.0,
        "payment_type": None,
    },
    {"fare_amount": -10.0, "tip_amount": 0.004, "total_amount": -12.0, "trip_distance": float("nan"), "RatecodeID": 99},
    {
        "fare_amount": 1e8 - 0.001,
        "tip_amount": 99_999_999.99,
        "total_amount": 0.01,
        "trip_distance": 1e-300,
        "DOLocationID": 999,
    },
]


@pytest.mark.usefixtures("warm_dbt")
def test_the_life_of_a_schema(publisher: Publisher, starts: list[str], background: ThreadPoolExecutor) -> None:
    """Coalescing, waiting, hard values, a replaced and an emptied month, a reader, and a full refresh at the end."""
    stray = {"lpep_pickup_datetime": dt.datetime(2024, 1, 1, 9)}
    for month, rows in (
        ("2024-01", HARD),
        ("2024-02", [{}] * 50 + [stray]),
        ("2024-03", [{"fare_amount": 1.0}] * 2000),
    ):
        publisher.land("plain", month, rows)

    both = list(background.map(transform.refresh, ["plain", "plain"]))
    assert sorted(done.state for done in both) == ["success", "unchanged"]
    assert starts == ["build"], "three months and two refreshes are one build"
    assert transform.refresh("plain").state == "unchanged"
    assert starts == ["build"], "nothing is pending: no dbt at all"

    # NaN and values that numeric(10, 2) can't hold are NULL; -0.0 is 0; half a cent is rounded away from zero; nothing
    # is divided by zero.
    columns = (
        "fare_amount, tip_amount, total_amount, tip_share, fare_per_mile, payment_label, dropoff_borough, rate_code_id"
    )
    assert query(
        f"SELECT {columns} FROM {{}}.fct_trips WHERE source_month = '2024-01-01' ORDER BY row_number", "plain"
    ) == [
        (None, Decimal(0), Decimal("1.01"), Decimal(0), None, "Not recorded", "Outside of NYC", 1),
        (Decimal(-10), Decimal(0), Decimal(-12), None, None, "Credit card", "Outside of NYC", None),
        (None, Decimal("99999999.99"), Decimal("0.01"), Decimal(9_999_999_999), None, "Credit card", None, 1),
    ]

    publisher.land("plain", "2024-02", [])
    publisher.land("plain", "2024-03", [{"fare_amount": 2.0}] * 3000)
    view = query("SELECT '{}.stg_trips'::regclass::oid", "plain")
    untouched = query(
        "SELECT xmin::text, ctid::text FROM {}.fct_trips WHERE source_month = '2024-01-01' ORDER BY 2", "plain"
    )
    with Watch(month_of_march) as seen:
        done = transform.refresh("plain")
    assert done.months == (dt.date(2024, 2, 1), dt.date(2024, 3, 1))
    assert not done.full
    assert seen == {(2000, 1, 1), (3000, 2, 2)}, "a reader saw part of a month"
    assert untouched == query(
        "SELECT xmin::text, ctid::text FROM {}.fct_trips WHERE source_month = '2024-01-01' ORDER BY 2", "plain"
    )
    assert view == query("SELECT '{}.stg_trips'::regclass::oid", "plain"), "no month is a reason to create a view again"
    assert query("SELECT count(*) FROM {}.fct_trips WHERE source_month = '2024-02-01'", "plain") == [(0,)]
    assert query(
        "SELECT pickup_date::text, trips, source_months::text FROM {}.daily_borough_stats ORDER BY 1", "plain"
    ) == [
        ("2024-01-01", 3, "{2024-01-01}"),
        ("2024-03-01", 3000, "{2024-03-01}"),
    ], "the stray of February is gone from January's day, and February's own day is gone"
    by_months = digests("plain")

    forget_version("plain", "project")
    assert transform.refresh("plain").full
    assert digests("plain") == by_months, "month by month and all at once lead to the same tables"

    with connect("test") as connection:
        connection.execute("DROP VIEW plain.stg_zones")
    done = transform.refresh("plain")
    assert (done.state, done.months) == ("success", ()), "a dropped view is built again, and no month is rebuilt for it"
    with connect("test") as connection:
        connection.execute("DROP TABLE plain.daily_borough_stats")
    assert transform.refresh("plain").full, "a mart that is gone can only be built from all months"
    assert digests("plain") == by_months
    assert transform.refresh("plain").state == "unchanged"


def month_of_march(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    count, low, high = connection.execute(
        "SELECT count(*), min(fare_amount)::int, max(fare_amount)::int FROM plain.fct_trips"
        " WHERE source_month = '2024-03-01'"
    ).fetchall()[0]
    assert connection.execute("SELECT count(*) > 0 FROM plain.daily_borough_stats").fetchall() == [(True,)]
    return count, low, high


@pytest.mark.usefixtures("either_way")
def test_a_build_that_is_killed_leaves_nothing_to_clean_up(
    publisher: Publisher, warehouse: str, background: ThreadPoolExecutor
) -> None:
    """dbt is killed or interrupted, or its sessions end: each is tried again. And the password is nowhere."""
    password = str(psycopg.conninfo.conninfo_to_dict(warehouse)["password"])
    publisher.land("plain", "2024-01", [{}] * 10)

    for number, said in ((signal.SIGKILL, "SIGKILL"), (signal.SIGINT, "interrupted before it was done")):
        with raw_trips_held():
            attempt = background.submit(transform.refresh, "plain")
            until(waiting_sessions, 120, 0.05, "dbt in mid-build")
            assert not any(password in word for process in descendants() for word in process.info["cmdline"])
            dbt_process().send_signal(number)
            with pytest.raises(TransientError, match=said):
                attempt.result()
        until(lambda: not ask(f"SELECT {DBT_SESSIONS}") or None, 60, 0.05, "the end of the killed dbt's sessions")

    with raw_trips_held():
        attempt = background.submit(transform.refresh, "plain")
        until(waiting_sessions, 120, 0.05, "dbt in mid-build")
        ask(f"SELECT pg_terminate_backend(pid) {DBT_SESSIONS}")
        with pytest.raises(DatabaseUnavailable, match=r"^dbt: .*(terminating connection|closed)"):
            attempt.result()

    assert transform.refresh("plain").state == "success"
    with connect("test") as connection:
        left = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE '%dbt%' AND relkind IN ('r', 'v')")
        assert left.fetchall() == []
    assert not [
        path
        for path in (settings().home / "dbt").rglob("*")
        if path.is_file() and password.encode() in path.read_bytes()
    ]


DBT_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'triptych dbt %'"


@contextmanager
def raw_trips_held() -> Iterator[None]:
    """Hold the lock that a build waits for when it first reads the raw trips."""
    with connect("test") as connection:
        connection.execute("LOCK TABLE plain.raw_trips IN ACCESS EXCLUSIVE MODE")
        yield


def ask(text: str) -> list[tuple[Any, ...]]:
    with connect("test") as connection:
        return connection.execute(text.encode()).fetchall()


def waiting_sessions() -> bool | None:
    return bool(ask(f"SELECT {DBT_SESSIONS} AND wait_event_type = 'Lock'")) or None


def descendants() -> list[psutil.Process]:
    """Return our processes. The server's come and go, so all are queried at once, and ended ones are left out."""
    ours = {process.pid for process in psutil.Process().children(recursive=True)}
    asked = psutil.process_iter(["cmdline", "net_connections"])
    return [process for process in asked if process.pid in ours and process.info["cmdline"]]


def dbt_process() -> psutil.Process:
    """Return the process at the other end of dbt's sessions: a child of ours, or of the warm server."""
    ports = {port for (port,) in ask(f"SELECT client_port {DBT_SESSIONS}")}
    (found,) = [
        process
        for process in descendants()
        if ports & {each.laddr[1] for each in process.info["net_connections"] or () if len(each.laddr) == 2}
    ]
    return found


@pytest.mark.usefixtures("warm_dbt")
def test_a_refresh_logs_what_it_builds_and_why(
    publisher: Publisher, warehouse: str, caplog: pytest.LogCaptureFixture
) -> None:
    """First build, nothing to do, one month, and all months of which none has other rows; never a secret."""
    caplog.set_level(logging.INFO, "core")
    publisher.land("plain", "2024-01", [{}] * 3)
    publisher.land("plain", "2024-02", [{}, {"PULocationID": 999}])

    lines = logged_by_refresh(caplog)
    assert lines[0] == "plain: building all 2 months: this is the first build"
    built = re.fullmatch(r"plain: dbt built (.*) in [\d.]+ s", lines[1])
    assert built and sorted(built[1].split(", ")) == sorted(project.model_names())
    passed, tests = re.fullmatch(r"plain: (\d+) of (\d+) tests passed", lines[2]).groups()  # type: ignore[union-attr]
    assert int(passed) == int(tests) - 1
    assert lines[3:] == [
        "plain: test pickup_zone_is_known on stg_trips (error): 1 failure",
        "plain.fct_trips: a new table with 4 rows",
        "plain.daily_borough_stats: a new table with 2 rows",
    ]

    (line,) = logged_by_refresh(caplog)
    assert line.startswith("plain: nothing has changed since its last build, at 20")

    publisher.land("plain", "2024-02", [{}])
    lines = logged_by_refresh(caplog)
    assert lines[0] == "plain: building 2024-02: 2024-02 loaded"
    assert "plain.fct_trips: replaced the rows of 2024-02, now 1 row" in lines

    forget_version("plain", "project")
    lines = logged_by_refresh(caplog)
    assert lines[0] == "plain: building all 2 months: the dbt project changed"
    same = "replaced the rows of no month, left those of 2024-01..2024-02 alone because they are the same"
    assert f"plain.fct_trips: {same}" in lines

    assert str(psycopg.conninfo.conninfo_to_dict(warehouse)["password"]) not in caplog.text


def logged_by_refresh(caplog: pytest.LogCaptureFixture) -> list[str]:
    before = len(caplog.messages)
    transform.refresh("plain")
    return caplog.messages[before:]


@pytest.mark.usefixtures("warm_dbt")
def test_one_months_bad_rows_hold_back_no_other_month(publisher: Publisher) -> None:
    publisher.land("plain", "2024-01", [{}] * 3)
    publisher.land("plain", "2024-02", [{}, {"PULocationID": 999}, {}])
    run = publisher.run("plain")
    january, february = parse_months("2024-01..2024-02")

    assert pipeline.transform(run, january).rows == 3
    assert pipeline.transform(run, february).to_json()["state"] == "unchanged"
    assert pipeline.transform(run, february).rows == 2
    receipt = pipeline.check(run, january)
    assert receipt.detail is not None and "tests passed" in receipt.detail
    with pytest.raises(
        CheckFailed, match=r"^2024-02: 1 of \d+ tests failed: pickup_zone_is_known on stg_trips"
    ) as failure:
        pipeline.check(run, february)
    assert "\n" not in str(failure.value)
    with pytest.raises(UsageError, match="2024-03"):
        pipeline.check(run, Month.parse("2024-03"))

    publisher.land("plain", "2024-03", [{}])
    assert transform.refresh("plain").months == (dt.date(2024, 3, 1),)
    with pytest.raises(CheckFailed, match=r"pickup_zone_is_known on stg_trips: 1 row;"):
        # A build of another month does not repair it
        pipeline.check(run, february)
    publisher.land("plain", "2024-02", [{}])
    assert transform.refresh("plain").months == (dt.date(2024, 2, 1),)
    assert pipeline.check(run, february).state == "success"


@pytest.mark.usefixtures("warm_dbt")
@pytest.mark.parametrize("schemas", [("a_b", "axb"), ("none", "select"), ("x" * 40, "x" * 39)])
def test_schemas_whose_names_dbt_may_confuse(publisher: Publisher, schemas: tuple[str, str]) -> None:
    """dbt looks relations up with ILIKE, where an underscore is any character; words of Python and SQL are names."""
    january, february = parse_months("2024-01..2024-02")
    for schema in schemas:
        publisher.land(schema, "2024-01", [{}] * 3)
        assert pipeline.transform(publisher.run(schema), january).rows == 3
        assert pipeline.check(publisher.run(schema), january).state == "success"
    for schema, rows in zip(schemas, (4, 5), strict=True):
        publisher.land(schema, "2024-02", [{}] * rows)
        assert not transform.refresh(schema).full
        assert transform.rows(schema, february.first_day) == rows
    assert ask("SELECT schemaname::text FROM pg_tables WHERE tablename = 'fct_trips' ORDER BY 1") == [
        (schema,) for schema in sorted(schemas)
    ]


STRANGE = [
    "'; DROP TABLE raw_zones; --", "{{ 7 * 7 }}{% raw %}", "<script>alert(1)</script>",
    '=HYPERLINK("http://evil")', "@SUM(1)", 'say "hi", twice', "new\nline", "\\N", "NULL", "\x1b[31m\u202e",
    " blanks ", "Ünï 😀", "%s {0} $1", "x" * 256, "\\", "",
]  # fmt: skip


@pytest.mark.usefixtures("warm_dbt")
def test_a_zones_name_is_data_and_nothing_else(publisher: Publisher) -> None:
    """SQL, templates, HTML, formulas, escapes: the marts have them exactly as they were published."""
    zones = {266 + number: name for number, name in enumerate(STRANGE)}
    with (publisher.folder / "taxi_zone_lookup.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows((key, name, name, name) for key, name in zones.items())
    publisher.land("plain", "2024-01", [{"PULocationID": key, "DOLocationID": key} for key in zones])
    assert transform.refresh("plain").state == "success"

    assert dict(ask("SELECT location_id, zone FROM plain.raw_zones WHERE location_id > 265")) == zones
    names = "pickup_borough, pickup_zone, dropoff_borough, dropoff_zone"
    found = ask(f"SELECT pickup_location_id, {names} FROM plain.fct_trips")
    assert {key: set(rest) for key, *rest in found} == {key: {name} for key, name in zones.items()}
    assert {name for (name,) in ask("SELECT borough FROM plain.daily_borough_stats")} == set(STRANGE)


def test_a_cold_and_a_warm_dbt_build_the_same(
    publisher: Publisher, background: ThreadPoolExecutor, request: pytest.FixtureRequest
) -> None:
    """Tables and test results are the same, for all months and for one; the warm one builds two schemas at once."""
    bad = [*HARD, {"PULocationID": 999}]

    def refresh(*schemas: str) -> list[Any]:
        assert [done.state for done in background.map(transform.refresh, schemas)] == ["success"] * len(schemas)
        return [(digests(schema), transform.results(schema, dt.date(2024, 1, 1))) for schema in schemas]

    def land(month: str, *schemas: str) -> None:
        for schema in schemas:
            publisher.land(schema, month, bad)

    land("2024-01", "cold", "one", "two")
    (whole,) = refresh("cold")
    land("2024-02", "cold")
    (month,) = refresh("cold")
    assert {result.name for result in month[1] if not result.passed} >= {
        "pickup_zone_is_known",
        "dropoff_zone_is_known",
    }

    request.getfixturevalue("warm_dbt")
    assert refresh("one", "two") == [whole, whole]
    land("2024-02", "one", "two")
    assert refresh("one", "two") == [month, month]


@pytest.mark.usefixtures("warm_dbt")
def test_a_project_that_changes_while_dbt_is_warm(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has parsed and compiled older files, and each call sees the files as they are now."""
    macro = project_copy(tmp_path, monkeypatch) / "tests" / "generic" / "expression_is_true.sql"
    publisher.land("plain", "2024-01", [{}])
    text = macro.read_text()
    for suffix in ("", " or true", ""):
        macro.write_text(text.replace("is not true", f"is not true{suffix}"))
        assert transform.refresh("plain").full
        failed = {result.name for result in transform.results("plain", dt.date(2024, 1, 1)) if not result.passed}
        assert failed == ({"codes_are_documented", "key_is_a_place_in_a_file"} if suffix else set())


@pytest.mark.usefixtures("either_way")
def test_a_model_that_fails_is_named(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one line with model and cause; what is recorded as built stays as it was."""
    project = project_copy(tmp_path, monkeypatch)
    model = project / "models" / "shared" / "marts" / "daily_borough_stats.sql"
    model.write_text(model.read_text().replace("count(*) as trips", "count(*) / 0 as trips"))
    tests = project / "models" / "shared" / "marts" / "daily_borough_stats.yml"
    tests.write_text(tests.read_text().partition("unit_tests:")[0])
    publisher.land("plain", "2024-01", [{}] * 3)

    with pytest.raises(TransformFailed, match=r"^dbt: model daily_borough_stats: division by zero; .*dbt.log$"):
        transform.refresh("plain")
    assert query("SELECT count(*) FROM {}.transform_ledger", "plain") == [(0,)]

    (project / "models" / "shared" / "exposures.yml").write_text("exposures: [")
    with pytest.raises(TransformFailed, match=r"^the dbt project does not parse: .*exposures\.yml") as failure:
        transform.lineage()
    assert "\n" not in str(failure.value)


def test_a_lock_that_is_not_freed_in_time_is_an_error(
    publisher: Publisher, starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another refresh holds it, or a dbt whose refresh was killed."""
    publisher.land("plain", "2024-01", [{}])
    monkeypatch.setenv("TRIPTYCH_LOCK_WAIT_S", "0.2")
    settings.cache_clear()

    with connect("test") as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("transform", "plain")])
        with pytest.raises(Busy, match=r"the lock was not free for 0\.2 s, and .* holds it"):
            transform.refresh("plain")
        folder = dbt.schema_folder(other.info, "plain")
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="still works in"):
            transform.refresh("plain")
    assert starts == []


@pytest.mark.usefixtures("warm_dbt")
def test_lineage_needs_no_database(
    warehouse: str, starts: list[str], background: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIPTYCH_DSN")
    settings.cache_clear()

    first, second = background.map(lambda _: transform.lineage(), range(2))
    assert first == second
    count = len(starts)
    found = {model.name: model for model in transform.lineage()}
    assert len(starts) == count, "the manifest is kept"
    assert {name: model.depends_on for name, model in found.items()} == {
        "stg_trips": ("raw_trips",),
        "stg_zones": ("raw_zones",),
        "fct_trips": ("stg_trips", "stg_zones"),
        "daily_borough_stats": ("fct_trips",),
    }
    assert tuple(sorted(found)) == project.model_names()
    assert all(model.description for model in found.values())
    assert all(test.description for model in found.values() for test in model.tests)
    assert [test.name for test in found["daily_borough_stats"].tests] == [
        "stats_add_up_to_trips",
        "sums_cancel_and_medians_stand",
    ]


@pytest.mark.usefixtures("warm_dbt")
def test_all_real_months_pass_all_tests(warehouse: str, real_data: Path) -> None:
    """Every test, including the warnings, passes on the real files of the publisher."""
    run = Run(source=str(real_data), schema="plain", loader="test")
    months = [Month.parse(path.stem.rpartition("_")[2]) for path in sorted((real_data / "green").glob("*.parquet"))]
    pipeline.ingest_zones(run)
    loaded = {month: pipeline.ingest_month(run, month).rows for month in months}

    pipeline.transform(run, months[0])
    failed = [result for result in transform.results("plain", months[0].first_day) if not result.passed]
    assert not failed
    assert {month: transform.rows("plain", month.first_day) for month in months} == loaded


def test_a_schema_without_raw_tables_is_refused(warehouse: str) -> None:
    with pytest.raises(UsageError, match="schema 'plain' has no raw_trips: load zones and a month first"):
        transform.refresh("plain")
    with pytest.raises(
        UsageError, match="no build of schema 'plain' has 2024-01 in it: run the month's transform step first"
    ):
        transform.results("plain", dt.date(2024, 1, 1))


@pytest.mark.usefixtures("warm_dbt")
def test_the_ledger_says_how_fresh_the_source_is(publisher: Publisher, tmp_path: Path) -> None:
    """`dbt source freshness`, which no build runs, warns when no loader has published anything for 45 days."""
    publisher.land("plain", "2024-01", [{}])

    def freshness() -> tuple[str, dt.datetime]:
        with connect("test") as connection:
            environment = dbt.environment(connection.info, "plain", None)
        assert dbt.run(dbt.Command(["source", "freshness"], tmp_path, environment)).returncode == 0
        (found,) = json.loads((tmp_path / "sources.json").read_text())["results"]
        assert found["unique_id"] == "source.triptych.tlc.raw_trips"
        return found["status"], dt.datetime.fromisoformat(found["max_loaded_at"])

    loaded_at = "SELECT loaded_at FROM {}.load_ledger WHERE dataset = 'green'"
    assert freshness() == ("pass", query(loaded_at, "plain")[0][0])
    with connect("test") as connection:
        connection.execute("UPDATE plain.load_ledger SET loaded_at = loaded_at - interval '46 days'")
    assert freshness() == ("warn", query(loaded_at, "plain")[0][0])
