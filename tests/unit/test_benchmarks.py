"""The benchmarks' own parts: what is measured, in which order, and that the pages agree with the results."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.digest import methods as digest_methods
from benchmarks.digest import page as digest_page
from benchmarks.digest import race as digest_race
from benchmarks.harness import markdown, measure, parts, report, run
from benchmarks.harness.measure import BenchmarkError, Server, Spread
from benchmarks.load import methods as load_methods
from benchmarks.load import page as load_page
from benchmarks.load import race as load_race
from core.settings import ROOT, settings

BURN_S = 0.2
PARENT = f"""
import os, sys, time
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        while time.process_time() < {BURN_S}:
            pass
        if line.strip() == "stay":
            print("burnt", flush=True)
            time.sleep(600)
        os._exit(0)
    if line.strip() == "end":
        os.waitpid(pid, 0)
        print("burnt", flush=True)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process that starts children as a postmaster does: it waits for those that end, and some stay."""
    words = [sys.executable, "-c", PARENT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()


@pytest.mark.parametrize("children", [["end"], ["stay"], ["end", "stay", "end"]])
def test_cpu_time_of_a_servers_processes_counts_once_whether_they_ended_or_not(
    parent: subprocess.Popen[str], children: list[str]
) -> None:
    assert parent.stdin and parent.stdout
    before = measure.tree_cpu_s(psutil.Process(parent.pid))
    for child in children:
        parent.stdin.write(f"{child}\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "burnt\n"
    used = measure.tree_cpu_s(psutil.Process(parent.pid)) - before
    assert BURN_S * len(children) - 0.05 <= used <= BURN_S * len(children) * 2


@pytest.fixture
def nowhere(tmp_path: Path) -> Server:
    """A server for methods that never connect to it: this process."""
    return Server("postgresql://nobody@127.0.0.1:1/none", psutil.Process(), tmp_path)


def prepare(**arguments: Any) -> Any:
    """A method that prints, and returns its arguments."""
    print("a library's chatter")
    if arguments.get("fail"):
        raise ValueError("no such luck")
    held = bytearray(64 << 20)
    return lambda: {**arguments, "held": len(held)}


def test_a_method_runs_in_a_process_of_its_own_and_its_peak_is_its_own(nowhere: Server) -> None:
    found = measure.run(f"{__name__}:prepare", {"x": "ü"}, nowhere, python=Path(sys.executable))
    assert found.value == {"x": "ü", "held": 64 << 20}
    assert 64 < found.peak_rss_mb < 1024


def test_a_method_that_fails_says_why(nowhere: Server) -> None:
    with pytest.raises(BenchmarkError, match="prepare failed: ValueError: no such luck"):
        measure.run(f"{__name__}:prepare", {"fail": True}, nowhere, python=Path(sys.executable))


def test_rounds_are_interleaved() -> None:
    assert list(measure.interleaved({"a": 2, "slow": 1, "b": 3})) == [
        (1, "a"), (1, "slow"), (1, "b"), (2, "a"), (2, "b"), (3, "b"),
    ]  # fmt: skip
    assert list(measure.interleaved({})) == []


def test_the_spread_is_the_median_and_both_extremes() -> None:
    assert measure.spread([3.0, 1.0, 2.0, 9.0]) == Spread(2.5, 1.0, 9.0)


def test_results_are_one_object_with_a_row_to_a_line(tmp_path: Path) -> None:
    about = {"machine": {"cores": 2}, "versions": {"python": "3"}, "measured_at": "2026-01-01T00:00:00+00:00"}
    rows: list[measure.Row] = [{"method": "a", "digest": 'x"'}, {"method": "b", "digest": None}]
    path = measure.write("any", about, rows, tmp_path)
    assert measure.read("any", tmp_path) == {**about, "rows": rows}
    assert sum(line.strip().startswith('{"method"') for line in path.read_text().splitlines()) == 2
    assert [each.name for each in tmp_path.iterdir()] == ["any.json"]


def test_results_that_can_not_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    path = measure.write("any", {"machine": {}}, [{"method": "a"}], tmp_path)
    before = path.read_text()
    with pytest.raises(TypeError):
        measure.write("any", {"machine": {}}, [{"method": object()}], tmp_path)
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["any.json"]


@pytest.mark.parametrize(
    ("found", "bound", "at_least", "verdict"),
    [
        (1.2, 1.25, False, "met"),
        (1.5, 1.25, False, "missed by 20%"),
        (200.0, 150.0, True, "met"),
        (100.0, 150.0, True, "missed by 50%"),
    ],
)
def test_a_verdict_is_computed(found: float, bound: float, at_least: bool, verdict: str) -> None:
    assert markdown.verdict("any", found, bound, at_least=at_least)[-1] == verdict


def load_row(method: str, rows: int, number: int, wall_s: float, **changes: Any) -> measure.Row:
    cpu = {"client_cpu_s": wall_s / 2, "server_cpu_s": wall_s / 2, "peak_rss_mb": 200.0}
    ratio = {"ratio_to_limit": wall_s, "digest": "d" * 32}
    return {"method": method, "rows": rows, "round": number, "wall_s": wall_s, **cpu, **ratio, **changes}


ABOUT = {
    "machine": {"cpu": "any", "cores": 2, "ram_gb": 8, "system": "Linux", "load_average_at_start": 0.1},
    "versions": {"python": "3.11"},
    "measured_at": "2026-01-01T00:00:00+00:00",
}


def load_results(*more: measure.Row) -> dict[str, Any]:
    rows = [load_row("limit", size, 1, 1.0) for size in (60_000, 1_000_000)]
    rows += [load_row("triptych-step", 60_000, number, wall_s) for number, wall_s in enumerate((1.5, 2.7, 1.6), 1)]
    rows += [load_row("pandas-to-sql-multi", 60_000, 1, 320.0)]
    return {**ABOUT, "rows": [*rows, *more]}


def test_the_load_page_shows_medians_extremes_and_verdicts() -> None:
    page = load_page.page(load_results(load_row("triptych-copy", 1_000_000, 1, 1.26)))
    assert "| `triptych-step` | 1.60 | 1.50 - 2.70 | 1.60 | 0.80 | 0.80 | 200 | 3 |" in page
    assert "| the whole step, 60,000 rows, x limit | at most 1.80 | 1.60 | met |" in page
    assert "| the COPY itself, 1,000,000 rows, x limit | at most 1.05 | 1.26 | missed by 20% |" in page
    assert '| CPU of `to_sql(method="multi")` / of the whole step, 60,000 rows | at least 150 | 200 | met |' in page
    assert "To need 150 times less" not in page


def test_the_load_page_says_what_a_round_that_was_not_run_would_take() -> None:
    rows = [row for row in load_results()["rows"] if row["method"] == "limit"]
    page = load_page.page({**ABOUT, "rows": [*rows, load_row("pandas-to-sql-multi", 60_000, 1, 30.0)]})
    said = "a round took 30.0 s at 60,000 rows, and in proportion it would take 8.33 minutes here"
    assert f"`pandas-to-sql-multi` was not run at this size: {said}.\n" in page.partition("## 1,000,000 rows")[2]
    page = load_page.page({**ABOUT, "rows": [*rows, load_row("adbc", 1_000_000, 1, 2.0)]})
    assert "`adbc` was not run at this size.\n" in page.partition("## 1,000,000 rows")[0]


def test_the_load_page_says_what_cpu_time_the_aim_allows_when_the_step_takes_more() -> None:
    page = load_page.page(load_results(load_row("pandas-to-sql-multi", 1_000_000, 1, 300.0),
                                       load_row("triptych-step", 1_000_000, 1, 3.0)))  # fmt: skip
    assert "/ of the whole step, 1,000,000 rows | at least 150 | 100 | missed by 50% |" in page
    assert "less CPU than `multi` at 1,000,000 rows, the step may take 2.00 s. It takes 3.00 s; the limit" in page
    assert "less CPU than `multi` at 60,000 rows" not in page


def test_the_load_page_says_when_a_table_holds_something_else() -> None:
    assert "NOT" not in load_page.page(load_results())
    page = load_page.page(load_results(load_row("adbc", 60_000, 1, 2.0, digest="e" * 32)))
    assert "These methods did NOT leave the content of the limit: `adbc`." in page


def test_the_digest_page_says_when_a_method_took_equal_tables_for_different_ones() -> None:
    row: measure.Row = {"rows": 60_000, "client_cpu_s": 1.0, "server_cpu_s": 1.0, "peak_rss_mb": 1.0, "wall_s": 2.0}
    ours = [row | {"method": "triptych-digest", "ratio_to_copy_out": 0.5, "equal": True, "round": n} for n in (1, 2)]
    out = row | {"method": "copy-out", "ratio_to_copy_out": 1.0, "equal": None, "round": 1}
    other = row | {"method": "datacompy", "ratio_to_copy_out": 3.0, "equal": False, "round": 1}
    page = digest_page.page({**ABOUT, "rows": [*ours, out, other]})
    assert "| the digest, 60,000 rows, x copying out | at most 1.00 | 0.50 | met |" in page
    assert "| NO |" in next(line for line in page.splitlines() if line.startswith("| `datacompy`"))
    assert "| does not compare |" in next(line for line in page.splitlines() if line.startswith("| `copy-out`"))


def test_every_method_of_the_races_exists_and_has_a_description() -> None:
    methods = [getattr(load_methods, name.replace("-", "_")) for name in load_race.ROUNDS]
    methods += [digest_methods.METHODS[name] for name in digest_race.ROUNDS]
    assert all(method.__doc__ for method in methods)


@pytest.mark.parametrize("race", [load_race, digest_race])
def test_an_unknown_method_is_named_before_anything_starts(race: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        race.main(["--methods", "limit,carrier-pigeon"])
    assert "'carrier-pigeon'" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [700, 60_000])
def test_the_raced_file_has_exactly_the_rows_asked_for_and_no_nan(tmp_path: Path, rows: int) -> None:
    load_race.make_file(tmp_path / "f.parquet", rows)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.num_rows == rows
    assert table["passenger_count"].null_count > 0
    nans = [pc.any(pc.is_nan(column)).as_py() for column in table.columns if pa.types.is_floating(column.type)]
    assert not any(nans)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[list[str]]]:
    """What `benchmarks.harness.run` would start. In its place `claims` fails, and `load` writes results."""
    calls: list[list[str]] = []

    def call(words: list[str]) -> int:
        module, *arguments = words[2:]
        calls.append([module, *arguments])
        if module == "benchmarks.load.race":
            measure.write("load", ABOUT, load_results()["rows"], Path(arguments[arguments.index("--folder") + 1]))
        return 3 if module == "benchmarks.strategies.claims" else 0

    monkeypatch.setattr(run, "call", call)
    monkeypatch.setattr(
        report, "PAGES", {"load": report.Page(str(tmp_path / "load.md"), "benchmarks.load.page", tmp_path)}
    )
    monkeypatch.setattr(report, "SUMMARY", str(tmp_path / "report.html"))
    monkeypatch.setattr(parts, "PAGES", ())
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    yield calls
    settings.cache_clear()


def test_a_benchmark_that_fails_is_reported_and_the_others_still_run(
    called: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["claims", "load", "--quick"]) == 1
    assert [module for module, *_ in called] == ["benchmarks.strategies.claims", "benchmarks.load.race"]
    said = capsys.readouterr()
    assert "--- claims: FAILED, exit code 3" in said.out and "benchmarks: claims failed" in said.err
    assert "| `triptych-step` |" in (tmp_path / "state" / "benchmarks" / "load.md").read_text()
    assert '<section id="race"' in (tmp_path / "state" / "benchmarks" / "report.html").read_text()
    assert run.main(["growth", "--quick"]) == 0


def test_a_trial_is_published_nowhere_and_a_full_run_takes_no_toy_figures(
    called: list[list[str]], tmp_path: Path
) -> None:
    run.main(["growth", "--quick"])
    run.main(["growth"])
    toy = ["--folder", str(tmp_path / "state" / "benchmarks"), *run.PROGRAMS["growth"].quick.split()]
    assert called == [["benchmarks.strategies.growth", *toy], ["benchmarks.strategies.growth"]]


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("at work", flush=True)
    # A signal that comes just before signal.pause() would not end it.
    while True:
        time.sleep(0.1)
except KeyboardInterrupt:
    # Stopping a server takes as long.
    time.sleep(1)
    print("cleaned up", flush=True)
"""


def test_a_benchmark_that_is_interrupted_may_clean_up() -> None:
    outer = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from benchmarks.harness import run
run.call([sys.executable, "-c", {INTERRUPTED!r}])
"""
    words = [sys.executable, "-c", outer]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "at work\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.read() == "cleaned up\n"
        assert process.wait() != 0


@pytest.mark.parametrize("name", run.PROGRAMS)
def test_every_program_accepts_the_arguments_of_its_trial(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = run.PROGRAMS[name]
    monkeypatch.setattr(sys, "argv", [name, *program.quick.split(), "--folder", "x", "--nonsense"])
    with pytest.raises(SystemExit):
        importlib.import_module(program.module).main()
    assert capsys.readouterr().err.endswith("error: unrecognized arguments: --nonsense\n")


def test_one_command_measures_everything_on_the_pages_of_loads_and_transforms() -> None:
    words = subprocess.run(
        ["make", "-n", "bench-load"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {*run.PROGRAMS} - {*words} == {
        "backfill",
        "floor",
        "chains",
        "curves",
        "footprint",
        "folklore",
        "soak",
        "drills",
        "database",
        "pairs",
        "kill_points",
    } and "--quick" not in words


def test_every_result_has_its_page_and_every_page_its_result() -> None:
    results = {path.stem for folder in (measure.RESULTS, measure.FAULT_RESULTS) for path in folder.glob("*.json")}
    assert results == {*run.PROGRAMS} == {*report.PAGES} | {page.part for page in report.PAGES.values() if page.part}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "benchmarks").glob("[a-z]*.md")}
    expected = {page.path for page in report.PAGES.values()}
    assert pages | {"docs/claims.md", "docs/faults.md"} == expected


@pytest.mark.parametrize("name", sorted(report.PAGES))
def test_the_committed_page_agrees_with_the_committed_results(name: str) -> None:
    """`python -m benchmarks.harness.report` writes the page."""
    assert (ROOT / report.PAGES[name].path).read_text() == report.render(name)


@pytest.mark.parametrize("name", sorted(report.PAGES))
def test_committed_results_say_what_they_were_measured_on(name: str) -> None:
    result = measure.read(name, report.PAGES[name].results)
    assert {"machine", "versions", "measured_at", "rows"} <= set(result)
    assert result["rows"]
    assert "postgresql://" not in json.dumps(result)
