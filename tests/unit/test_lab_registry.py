"""Orchestrators are found, not listed; capabilities have a meaning."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UsageError
from core.lab.capabilities import CAPABILITIES
from core.lab.leases import Lease, drop_keep, kept
from core.lab.protocol import Description, read_result, write_json
from core.lab.registry import CONTROL, orchestrators, select
from core.settings import ROOT, Settings

TOY = Path(__file__).resolve().parents[1] / "toy_impl"


def test_the_control_comes_first_and_every_folder_counts() -> None:
    names = list(orchestrators(Settings.read({})))
    assert names == [
        CONTROL,
        *sorted(path.parent.parent.name.removesuffix("_impl") for path in ROOT.glob("*_impl/lab/runner.py")),
    ]


def test_a_folder_elsewhere_is_one_more() -> None:
    settings = Settings.read({"TRIPTYCH_IMPLS": str(TOY)})
    toy = orchestrators(settings)["toy"]
    assert (toy.module, toy.cwd, toy.python) == ("toy_impl.lab.runner", TOY.parent, Path(sys.executable))
    assert [tool.name for tool in select("toy,plain,toy", settings)] == ["toy", "plain"]


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"TRIPTYCH_IMPLS: .* is not a folder <name>_impl with a lab/runner.py"):
        orchestrators(replace(Settings.read({}), impls=(tmp_path,)))


@pytest.mark.parametrize("names", ["luigi", "", "plain,", "Plain"])
def test_an_unknown_name_is_refused_with_the_known_ones(names: str) -> None:
    with pytest.raises(UsageError, match=r"unknown tool .*: choose from plain, "):
        select(names, Settings.read({}))


@pytest.mark.parametrize("tool", orchestrators(Settings.read({})).values(), ids=lambda tool: tool.name)
def test_what_a_tool_says_of_itself_has_a_meaning(tool: object, tmp_path: Path) -> None:
    one = orchestrators(Settings.read({}))[tool.name]  # type: ignore[attr-defined]
    write_json(tmp_path / "request", {})
    words = [str(one.python), "-m", one.module, "describe", str(tmp_path / "request"), str(tmp_path / "result")]
    subprocess.run(words, cwd=one.cwd, check=True, env={"HOME": str(tmp_path)})
    description = Description.from_json(read_result(tmp_path / "result"))
    assert description.name == one.name
    assert description.version
    assert set(description.capabilities) <= CAPABILITIES.keys()


def test_the_last_one_out_ends_a_service_once(tmp_path: Path) -> None:
    ended: list[str] = []
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.release(lambda: ended.append("first"))
    second.release(lambda: ended.append("second"))
    assert ended == ["second"]


def test_a_kept_service_is_not_ended(tmp_path: Path) -> None:
    ended: list[bool] = []
    lease = Lease(tmp_path)
    lease.keep()
    lease.release(lambda: ended.append(True))
    assert kept(tmp_path)
    drop_keep(tmp_path)
    Lease(tmp_path).release(lambda: ended.append(True))
    assert ended == [True]
