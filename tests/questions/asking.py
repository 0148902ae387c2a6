"""What a question is, and what it is asked with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from core.lab.protocol import BackfillRequest, BackfillResult, RunRecord, Which
from core.lab.registry import orchestrators
from core.lab.runs import Runs
from tests.contract.bench import Bench

PACKAGE = "tests.questions"

How = Literal["native", "emulated", "absent"]
"""Whether an orchestrator has the construct that a row asks for, needs a construction of ours, or can't have one."""


@dataclass(frozen=True)
class Row:
    """One line of a question's table."""

    key: Mapping[str, Any]
    """What is asked: these columns identify the row."""
    expected: Any = None
    """The right answer, where there is one. A figure that is measured has none."""
    how: Mapping[str, How] = field(default_factory=dict)
    """By orchestrator, how it has what is asked for; native where nothing is said."""
    in_tests: bool = False
    """Whether `make test` asks this row too. A question needs at least one, and a minute at most for all of them."""


@dataclass(frozen=True)
class Asking:
    """One orchestrator, as a question sees it: its runs, and the bench of the contract tests."""

    bench: Bench
    orchestrator: str

    @cached_property
    def runs(self) -> Runs:
        """The verbs for single runs."""
        return Runs(self.bench.lab, orchestrators(self.bench.lab.settings)[self.orchestrator])

    def run(self, pipeline: str, parameters: Mapping[str, Any], month: str | None = None) -> RunRecord:
        """Start a run, and return its record once it has ended."""
        return self.runs.observe(pipeline, self.runs.start(pipeline, parameters, month), wait_s=None)

    def backfill(
        self, pipeline: str, months: Sequence[str], parameters: Mapping[str, Any], which: Which = "all"
    ) -> BackfillResult:
        """Backfill months of a pipeline, and return the result once it has ended."""
        request = BackfillRequest(list(months), "", "", pipeline=pipeline, values=dict(parameters), which=which)
        return self.bench.lab.backfill(self.runs.orchestrator, request)


Answers = Iterator[tuple[Row, Any]]
"""Each row with what was observed, as JSON."""


@dataclass(frozen=True)
class Question:
    """A question that is put to every orchestrator."""

    name: str
    """The name of its folder, of its page, and of its data."""
    title: str
    """The question in one sentence."""
    rows: Sequence[Row]
    ask: Callable[[Asking, Sequence[Row]], Answers]
    """Ask some of the rows, and yield the answers in any order."""
    on: Sequence[str] = ("airflow", "dagster", "prefect")
    same: Callable[[Any, Any], bool] = lambda recorded, answer: bool(recorded == answer)
    """Whether an answer of today agrees with the recorded one; a question of figures compares their form only."""
    lacks: Callable[[str], str | None] = lambda orchestrator: None
    """Why a test can't put it to an orchestrator on this machine; None where it can."""


def questions() -> dict[str, Question]:
    """Return every question by its name."""
    found = sorted(Path(__file__).parent.glob("*/question.py"))
    every: Iterator[Question] = (import_module(f"{PACKAGE}.{path.parent.name}.question").QUESTION for path in found)
    return {each.name: each for each in every}
