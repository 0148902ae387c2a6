"""Orchestrators are discovered, not listed; each declares which capabilities it has, and why it lacks the others."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UsageError
from core.lab import capabilities
from core.lab.capabilities import CAPABILITIES
from core.lab.leases import Lease, drop_keep, kept
from core.lab.protocol import Description
from core.lab.registry import BASELINE, orchestrators, select
from core.settings import ROOT, Settings

TOY = Path(__file__).resolve().parents[1] / "toy_impl"


def test_the_baseline_comes_first_and_every_folder_counts() -> None:
    names = list(orchestrators(Settings.read({})))
    assert names == [
        BASELINE,
        *sorted(path.parent.parent.name.removesuffix("_impl") for path in ROOT.glob("*_impl/lab/runner.py")),
    ]


def test_a_folder_elsewhere_is_one_more() -> None:
    settings = Settings.read({"TRIPTYCH_IMPLS": str(TOY)})
    toy = orchestrators(settings)["toy"]
    assert (toy.module, toy.cwd, toy.python) == ("toy_impl.lab.runner", TOY.parent, Path(sys.executable))
    assert [each.name for each in select("toy,plain,toy", settings)] == ["toy", "plain"]


def test_all_are_those_of_the_checkout() -> None:
    settings = Settings.read({"TRIPTYCH_IMPLS": str(TOY)})
    assert select("all", settings) == list(orchestrators(Settings.read({})).values())


def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"TRIPTYCH_IMPLS: .* is not a folder <name>_impl with a lab/runner.py"):
        orchestrators(replace(Settings.read({}), impls=(tmp_path,)))


@pytest.mark.parametrize("names", ["luigi", "", "plain,", "Plain"])
def test_an_unknown_name_is_refused_with_the_known_ones(names: str) -> None:
    with pytest.raises(UsageError, match=r"unknown orchestrator .*: choose from plain, "):
        select(names, Settings.read({}))


@pytest.fixture(scope="module")
def descriptions() -> list[Description]:
    """What each orchestrator of the checkout declares."""
    return capabilities.describe_all()


def test_each_describes_itself(descriptions: list[Description]) -> None:
    assert [each.name for each in descriptions] == list(orchestrators(Settings.read({})))
    assert all(each.title and each.version for each in descriptions)


def test_each_has_a_capability_or_says_why_not(descriptions: list[Description]) -> None:
    for each in descriptions:
        assert sorted([*each.capabilities, *each.lacks]) == sorted(CAPABILITIES), each.name
        assert all(reason.endswith(".") for reason in each.lacks.values())


def test_the_page_of_capabilities_is_current(descriptions: list[Description]) -> None:
    assert capabilities.PAGE.read_text() == capabilities.page(descriptions), "run python -m core.lab.capabilities"


def test_a_contract_test_asks_for_each_capability() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "contract").glob("test_*.py"))
    assert set(re.findall(r'@pytest\.mark\.capability\("(\w+)"\)', tests)) == CAPABILITIES.keys()


def test_the_last_user_ends_a_service_once(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["nobody", "plain"])
def test_an_endpoint_of_no_orchestrator_with_services_is_refused(name: str) -> None:
    settings = Settings.read({"TRIPTYCH_DSN": "postgresql://h/d", "TRIPTYCH_ENDPOINTS": f"{name}=http://h:1"})
    with pytest.raises(UsageError, match=f"TRIPTYCH_ENDPOINTS: '{name}' is no orchestrator with services"):
        orchestrators(settings)
