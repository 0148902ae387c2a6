"""The page of the claims, from ``folklore.json`` and all other recorded results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.folklore.claim import ORCHESTRATORS, VERDICTS, Claim
from benchmarks.folklore.claims import CLAIMS, SUBJECTS
from benchmarks.folklore.results import Results
from benchmarks.harness import markdown, report
from benchmarks.harness.measure import Row

INTRODUCTION = """
What people say about Airflow, Dagster and Prefect, and about loading a table, each with a verdict and the figure that
decides it. Every figure is read from recorded results, and a test fails when they no longer bear a verdict out. The
commands show a claim again, each in less than five minutes after `make setup`. *It circulates in* names kinds of
source, and no source.
"""

CONDITIONS = """
A verdict is about these versions. The checks of this page met each orchestrator as it is shipped. What the
[guide](guide/README.md) observed and the [benchmarks](benchmarks/README.md) measured was recorded with the settings of
this project's adapters, which are tuned, on the machine and at the time that its own page names.
"""

LEFT_OUT = """
## Left out

Claims that need a component to be killed while it is watched wait for the drills that kill it: a worker that dies
together with its run, a second scheduler that takes over, a queue that loses a task. Those above that speak of a kill
rest on what was recorded already.
"""


GUIDE_PAGES = {"commands": "interview", "trigger_rules_costs": "trigger_rules"}
"""The pages of the guide whose name is not that of their data."""


class Traced(Results):
    """Recorded results that keep where a figure came from: links to the pages of what evidence has read."""

    def __init__(self, checks: Iterable[Row]) -> None:
        super().__init__(checks)
        self.origins: dict[str, None] = {}

    def check(self, name: str) -> Row:
        """Return what a check found, and keep that it was one."""
        self.origins["a check of this page"] = None
        return super().check(name)

    def answers(self, question: str, **key: Any) -> list[Row]:
        """Return rows of a question, and keep its page of the guide."""
        name = GUIDE_PAGES.get(question, question)
        self.origins[f"[{name.replace('_', ' ')}](guide/{name}.md)"] = None
        return super().answers(question, **key)

    def rows(self, benchmark: str, **key: Any) -> list[Row]:
        """Return rows of a benchmark, and keep its page."""
        self._keep(benchmark)
        return super().rows(benchmark, **key)

    def soak(self) -> Row:
        """Return what random kills did, and keep the page of faults."""
        self._keep("soak")
        return super().soak()

    def _keep(self, name: str) -> None:
        path = Path(next(page.path for key, page in report.PAGES.items() if name in (key, page.part)))
        self.origins[f"[{path.stem.replace('-', ' ')}]({path.relative_to('docs')})"] = None


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows = result["rows"]
    parts = [
        markdown.header("Claims that circulate", "benchmarks/results/folklore.json", result),
        INTRODUCTION.strip() + "\n",
        f"**{summary()}**\n",
        meanings(),
        CONDITIONS.strip() + "\n",
    ]
    for subject, claims in SUBJECTS.items():
        parts += [f"## {subject}\n", contents(claims), *(section(claim, Traced(rows)) for claim in claims)]
    return "\n".join([*parts, LEFT_OUT.strip() + "\n"])


def summary() -> str:
    """Return how many claims have which verdict."""
    counts = Counter(claim.verdict for claim in CLAIMS)
    return (
        f"{len(CLAIMS)} claims: {', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS if counts[verdict])}."
    )


def meanings() -> str:
    """Return what each verdict means."""
    return markdown.table(["verdict", "meaning"], VERDICTS.items(), align="---")


def contents(claims: tuple[Claim, ...]) -> str:
    """Return the table of a subject's claims, with links to their sections."""
    lines = [[f"[{claim.text}](#{claim.name})", f"**{claim.verdict}**"] for claim in claims]
    return markdown.table(["claim", "verdict"], lines, align="---")


def section(claim: Claim, found: Traced) -> str:
    """Return the section of one claim."""
    evidence = claim.evidence(found)
    doubt = "" if evidence.bears_out else " **These figures no longer bear that out.**"
    origins, commands = ", ".join(found.origins), "\n".join(claim.commands)
    return (
        f'<a id="{claim.name}"></a>\n\n### "{claim.text}"\n\n'
        f"**{claim.verdict.capitalize()}.** {evidence.figure}{doubt}\n\n"
        f"{claim.meaning}\n\n*It circulates in {claim.circulates}. The figures are from: {origins}.*\n\n"
        f"```\n{commands}\n```\n{took(claim, found)}"
    )


def took(claim: Claim, found: Results) -> str:
    """Return how long the commands took when their results were recorded, where that is known."""
    seconds = " and ".join(f"{each:.0f} s" for each in recorded_s(claim, found))
    return f"\nIt took {seconds} when it was recorded.\n" if seconds else ""


def recorded_s(claim: Claim, found: Results) -> Iterator[float]:
    """Yield the recorded seconds of a claim's check, and of each question that it puts to an orchestrator."""
    if claim.check:
        yield found.check(claim.check)["seconds"]
    for command in claim.more:
        _, is_question, asked = command.partition("-m tests.questions ")
        if is_question:
            name, _, orchestrators = asked.partition(" --on ")
            yield from (found.asked_s(name, each) for each in orchestrators.split(",") if each in ORCHESTRATORS)
