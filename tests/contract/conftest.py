"""One lab for the session: real services, started once, shared by all tests, and ended at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.lab.registry import BASELINE
from tests.contract.bench import CONFORMANCE, QUESTIONS, Bench, opened, orchestrator_names

PACKAGES = {"question": QUESTIONS, "case": CONFORMANCE}
"""The packages of further pipelines, by the argument of the tests that need them."""


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The lab, in its own state folder. An orchestrator's services start when a test needs them.

    They load the pipelines of the questions, and of the conformance cases, only if there is a test that asks them:
    idle, these cost half as much again.
    """
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    pipelines = ",".join(package for name, package in PACKAGES.items() if name in asked)
    with opened(tmp_path_factory.mktemp("contract"), pipelines) as bench:
        yield bench


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `orchestrator` runs once for each registered one; pytest sorts the tests by it."""
    if "orchestrator" in metafunc.fixturenames:
        names = orchestrator_names()
        if not metafunc.definition.get_closest_marker("without_baseline"):
            names.append(BASELINE)
        metafunc.parametrize("orchestrator", names, scope="session", indirect=True)


@pytest.fixture(scope="session")
def orchestrator(request: pytest.FixtureRequest, bench: Bench) -> Iterator[str]:
    """The name of an orchestrator. Its services end after its tests: idle, they slow those of the next one down."""
    yield request.param
    bench.end(request.param)


@pytest.fixture(autouse=True)
def fail_without_the_capability(request: pytest.FixtureRequest) -> None:
    """Where the orchestrator lacks the capability that a test asks for, the test must fail, for the declared reason."""
    if marker := request.node.get_closest_marker("capability"):
        bench: Bench = request.getfixturevalue("bench")
        description = bench.description(request.getfixturevalue("orchestrator"))
        if reason := description.lacks.get(marker.args[0]):
            request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))


@pytest.fixture
def real_months(real_data: Path) -> tuple[Path, tuple[str, ...]]:
    """Real files: both sides of the change of types, and a month with the new fee."""
    return real_data / "green", ("2023-01", "2023-02", "2025-01")
