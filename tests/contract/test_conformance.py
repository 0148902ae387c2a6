"""A slice of the conformance cases: a verdict that is not the expected one fails, also a better one."""

from __future__ import annotations

import pytest

from tests.conformance.cases import Case, cases, verdict
from tests.contract.bench import Bench
from tests.questions.asking import Asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.without_baseline]

SLICE = [each for each in cases().values() if each.in_tests]


@pytest.mark.parametrize("case", SLICE, ids=lambda case: case.name)
def test_the_verdict_is_the_expected_one(bench: Bench, orchestrator: str, case: Case) -> None:
    if orchestrator not in case.expected:
        pytest.skip(f"the cases are for {', '.join(case.expected)}")
    observed = case.observe(Asking(bench, orchestrator))
    assert verdict(case, orchestrator, [observed])[0] == case.expected[orchestrator].verdict, dict(observed)
