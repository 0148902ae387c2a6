"""A slice of every question of the guide: what an orchestrator answers today is what the guide says."""

from __future__ import annotations

import pytest

from tests.contract.bench import Bench
from tests.questions.answers import is_recorded, recorded
from tests.questions.asking import Asking, Question, questions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.without_baseline]


@pytest.mark.parametrize("question", questions().values(), ids=lambda question: question.name)
def test_the_answers_are_those_of_the_guide(bench: Bench, orchestrator: str, question: Question) -> None:
    if orchestrator not in question.on:
        pytest.skip(f"it is not for {orchestrator}")
    if reason := question.lacks(orchestrator):
        pytest.skip(reason)
    if not is_recorded(question.name, orchestrator):
        pytest.xfail(f"not asked yet: make guide asks {orchestrator} the question {question.name}")
    rows = [row for row in question.rows if row.in_tests]
    found = list(question.ask(Asking(bench, orchestrator), rows))
    assert len(found) == len(rows) > 0
    for row, answer in found:
        assert question.same(recorded(question.name, row, orchestrator), answer), (dict(row.key), answer)
