"""What a case is, and how its verdict comes about: from what was observed, and never by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError
from core.settings import ROOT
from tests.contract.bench import CONFORMANCE
from tests.questions.asking import Asking

PACKAGE = CONFORMANCE

FOLDER = Path(__file__).parent

ORCHESTRATORS = {"airflow": "Airflow", "dagster": "Dagster", "prefect": "Prefect"}

FILES = {"airflow": "airflow_dags.py", "dagster": "dagster_defs.py", "prefect": "prefect_flows.py"}
"""What the code of each orchestrator is called."""

Verdict = Literal["right", "wrong", "unsupported", "by design"]

VERDICTS: Mapping[Verdict, str] = {
    "right": "every time, the right answer was observed",
    "wrong": "at least once, something else was observed, which its documentation does not announce",
    "unsupported": "the orchestrator lacks the construct that is asked for",
    "by design": "something else was observed, and its documentation says so",
}

Observed = Mapping[str, Any]
"""What one time of asking found, as JSON."""

Holds = Callable[[Observed], bool]
"""A predicate over what was observed."""


@dataclass(frozen=True)
class Expected:
    """What is expected of an orchestrator, and why. Another verdict fails the test, also a better one."""

    verdict: Verdict
    reason: str
    """Why, in one sentence: what in the orchestrator leads to it."""
    documentation: str = ""
    """For ``by design``: the address of the page that says so."""
    documented: Holds | None = None
    """For ``by design``: whether what was observed is what that page says."""
    absent: str = ""
    """For ``unsupported``: a word, such as ``backfill``, that a function or class of the orchestrator would have in its
    name if it had the construct."""


@dataclass(frozen=True)
class Case:
    """A question that is put to every orchestrator."""

    question: str
    """The question in one sentence."""
    theme: str
    """Under which heading of the page it stands."""
    report: str
    """Where it was reported, as in ``apache/airflow#71284``."""
    right: Holds
    """Whether what was observed is the right answer."""
    right_answer: str
    """The same in words."""
    expected: Mapping[str, Expected]
    observe: Callable[[Asking], Observed]
    """Ask once, and return what was observed. Whatever keeps it from being observed is raised."""
    differs: str = ""
    """In what the case differs from the report."""
    repeat: int = 1
    """How often it is asked: more than once where the answer needs luck."""
    why_repeat: str = ""
    """Why so often."""
    in_tests: bool = False
    """Whether `make test` asks it too. It takes less than half a minute then."""
    name: str = ""
    """The name of its folder."""

    @property
    def address(self) -> str:
        """The address of the report."""
        repository, _, number = self.report.partition("#")
        return f"https://github.com/{repository}/issues/{number}"

    @property
    def folder(self) -> Path:
        """Where its code is."""
        return FOLDER / self.name

    def code(self, orchestrator: str) -> Path | None:
        """Return the file of an orchestrator's code; None when it lacks the construct."""
        path = self.folder / FILES[orchestrator]
        return path if path.exists() else None

    def fingerprint(self, orchestrator: str) -> str:
        """Return what changes with the code that an orchestrator's cell runs: then the cell is asked again."""
        shared = [path for path in self.folder.glob("*.py") if path.name not in (*FILES.values(), "case.py")]
        found = [*sorted(shared), *filter(None, [self.code(orchestrator)])]
        text = "\n".join(f"{path.name}\n{path.read_text()}" for path in found)
        return sha256(text.encode()).hexdigest()[:12]


def verdict(case: Case, orchestrator: str, observed: Sequence[Observed]) -> tuple[Verdict, int, int]:
    """Return the verdict on what was observed, and how often of how many times it was the right answer.

    Nothing is observed of an orchestrator that lacks the construct.
    """
    others = [each for each in observed if not case.right(each)]
    right = len(observed) - len(others)
    if not observed:
        return "unsupported", 0, 0
    if not others:
        return "right", right, right
    documented = case.expected[orchestrator].documented
    is_documented = documented is not None and all(map(documented, others))
    return "by design" if is_documented else "wrong", right, len(observed)


def check(case: Case) -> None:
    """Raise `UsageError` naming what a declaration lacks, or says twice."""

    def demand(holds: object, what: str) -> None:
        if not holds:
            raise UsageError(f"{PACKAGE}.{case.name}: {what}")

    demand(case.question.endswith("?"), "its question is no question: end it with a question mark")
    demand(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", case.report), f"its report {case.report!r} is not OWNER/NAME#NUMBER")
    demand(case.repeat == 1 or case.why_repeat, f"it is asked {case.repeat} times: say why in `why_repeat`")
    demand(case.expected.keys() == ORCHESTRATORS.keys(), f"it expects something of {', '.join(case.expected)} only")
    for name, expected in case.expected.items():
        is_by_design = expected.verdict == "by design"
        demand(expected.verdict in VERDICTS, f"{name}: there is no verdict {expected.verdict!r}")
        demand(
            is_by_design == bool(expected.documentation) == bool(expected.documented),
            f"{name}: what is by design, and only that, has its documentation and what this says",
        )
        has_no_code = case.code(name) is None
        demand(
            (expected.verdict == "unsupported") == bool(expected.absent) == has_no_code,
            f"{name}: what is unsupported, and only that, has no {FILES[name]}, and a word in `absent`",
        )


def cases() -> dict[str, Case]:
    """Return every case by its name. Raise `UsageError` when a declaration lacks something."""
    found = {}
    for path in sorted(FOLDER.glob("*/case.py")):
        name = path.parent.name
        found[name] = replace(import_module(f"{PACKAGE}.{name}.case").CASE, name=name)
        check(found[name])
    return found


def relative(path: Path) -> str:
    """Return a path as it is written on a page."""
    return str(path.relative_to(ROOT))
