"""What a claim is: something that people say about orchestrators or about loading, with a verdict and its evidence.

A verdict is declared, and evidence must bear it out: a function that reads recorded results, and returns the figure as
the page shows it together with whether that figure supports the verdict. A test asks every claim, so new results that
contradict a verdict fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.folklore.results import Results

Verdict = Literal["true", "false", "stale", "depends"]

VERDICTS: dict[Verdict, str] = {
    "true": "It holds.",
    "false": "It does not hold.",
    "stale": "It held for an earlier version, and does not hold for this one.",
    "depends": "It holds in one case and not in another; the figure has both.",
}
"""Every verdict with its meaning."""

PYTHON = ".venvs/lab/bin/python"

FOLDER = "--folder .triptych/folklore"
"""Not the folder of the repository: a short trial must not replace what was published."""

ORCHESTRATORS = {"airflow": "Airflow", "dagster": "Dagster", "prefect": "Prefect"}


@dataclass(frozen=True)
class Found:
    """What evidence says."""

    figure: str
    """One or two sentences with the figures, as the page shows them."""
    bears_out: bool
    """Whether the figures support the declared verdict."""


@dataclass(frozen=True)
class Claim:
    """One claim that circulates."""

    name: str
    """Its name on the command line and in links."""
    text: str
    """The claim, as people say it."""
    circulates: str
    """The kinds of source that it is found in."""
    verdict: Verdict
    meaning: str
    """What to make of it. It has no figures: those come from evidence."""
    evidence: Callable[[Results], Found]
    check: str | None = None
    """The check of our own that evidence reads, if any (`benchmarks.folklore.checks`)."""
    more: tuple[str, ...] = ()
    """Commands that show it, besides that of the check."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that show it, each in less than five minutes."""
        ours = (f"{PYTHON} -m benchmarks.folklore {self.name}",) if self.check else ()
        return ours + self.more


def question(name: str, *orchestrators: str) -> str:
    """Return the command that puts a question of the guide to orchestrators again."""
    return f"{PYTHON} -m tests.questions {name} --on {','.join(orchestrators)}"
