"""The benchmarks' own parts: what is measured, in which order, and that pages say what the results say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import markdown, measure, report
from benchmarks.measure import BenchmarkError, Server, Spread
from core.settings import ROOT

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
    """A process that starts children as a postmaster does: some end and are waited for, some stay."""
    words = [sys.executable, "-c", PARENT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()


@pytest.mark.parametrize("children", [["end"], ["stay"], ["end", "stay", "end"]])
def test_what_a_servers_processes_used_counts_once_whether_they_ended_or_not(
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
    """A server for methods that do not ask it anything: this process."""
    return Server("postgresql://nobody@127.0.0.1:1/none", psutil.Process(), tmp_path)


def prepare(**arguments: Any) -> Any:
    """A method: prints, and gives back what it was called with."""
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


def test_the_spread_is_the_median_and_both_ends() -> None:
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


RENDERED = [name for name in report.PAGES if (measure.RESULTS / f"{name}.json").exists()]


def test_every_result_has_its_page_and_every_page_its_result() -> None:
    results = {path.stem for path in measure.RESULTS.glob("*.json")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "benchmarks").glob("*.md")}
    assert {report.PARTS.get(name, name) for name in results} <= set(report.PAGES)
    assert pages <= {report.PAGES[name][0] for name in RENDERED}


@pytest.mark.parametrize("name", RENDERED)
def test_the_committed_page_says_what_the_committed_results_say(name: str) -> None:
    """`python -m benchmarks.report` writes it again."""
    assert (ROOT / report.PAGES[name][0]).read_text() == report.render(name)


@pytest.mark.parametrize("name", RENDERED)
def test_committed_results_say_on_what_they_were_measured(name: str) -> None:
    result = measure.read(name)
    assert {"machine", "versions", "measured_at", "rows"} <= set(result)
    assert result["rows"]
    assert "postgresql://" not in json.dumps(result)
