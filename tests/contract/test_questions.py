"""A slice of every question of the guide: what an orchestrator answers today is what the guide says."""

from __future__ import annotations

import pytest

from tests.contract.bench import Bench
from tests.questions.answers import is_recorded, recorded
from tests.questions.asking import Asking, Question, questions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CASES = [
    pytest.param(name, question, id=f"{name}-{question.name}")
    for name in ("airflow", "dagster", "prefect")
    for question in questions().values()
    if is_recorded(question.name, name)
]


@pytest.mark.parametrize(("name", "question"), CASES)
def test_the_answers_are_those_of_the_guide(bench: Bench, name: str, question: Question) -> None:
    rows = [row for row in question.rows if row.in_tests]
    found = list(question.ask(Asking(bench, name), rows))
    assert len(found) == len(rows) > 0
    for row, answer in found:
        assert question.same(recorded(question.name, row, name), answer), (dict(row.key), answer)
