"""The question of `tests.questions.lineage`, put to dbt-ol, which builds the models of a month that is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from core.lab.registry import BASELINE
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.lineage.producers import PRODUCERS
from tests.questions.lineage.question import MONTH, compared, lacks, observed, rows


def ask(_: Asking, asked: Sequence[Row]) -> Answers:
    """Yield what dbt-ol tells, row by row."""
    PRODUCERS[BASELINE].install()
    yield from compared(asked, *observed(BASELINE, {MONTH: "events"}))


QUESTION = Question(
    name="lineage_dbt",
    title="What does a catalog learn of a month from dbt-ol?",
    # It knows of no steps, and is not called where a load fails.
    rows=rows("steps that are jobs", "a month that is not published"),
    ask=ask,
    on=(BASELINE,),
    lacks=lacks,
)
