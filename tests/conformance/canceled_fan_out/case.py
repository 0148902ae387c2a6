"""The case: a run that loads three months is canceled during the first, and its retry loads all three."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.waiting import until
from tests.conformance.canceled_fan_out import work
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S
from tests.questions.asking import Asking

PIPELINE = "canceled_fan_out"

RIGHT = {"run": "canceled", "its retry": "success", "loaded": work.MONTHS, "counted": len(work.MONTHS)}


def observe(asking: Asking) -> Observed:
    """Cancel a run during its first load and retry it, and return how that ended and which months are loaded."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        run_id = asking.runs.start(PIPELINE, {"folder": folder})
        until(lambda: list(here.glob("*.began")) or None, PATIENCE_S, POLL_S, "the first load")
        asking.runs.cancel(PIPELINE, run_id)
        canceled = asking.runs.observe(PIPELINE, run_id, PATIENCE_S)
        (here / "open").touch()
        retried = asking.runs.observe(PIPELINE, asking.runs.retry(PIPELINE, run_id), PATIENCE_S)
        counted = here / "counted"
        return {
            "run": canceled.state,
            "its retry": retried.state,
            "loaded": sorted(path.stem for path in here.glob("*.loaded")),
            "counted": int(counted.read_text()) if counted.exists() else None,
        }


CASE = Case(
    question="Does the retry of a run that was canceled midway do all that was left?",
    theme="Retries",
    report="dagster-io/dagster#20925",
    right=lambda observed: observed == RIGHT,
    right_answer="The retry succeeds, and all three months are loaded and counted.",
    expected={
        "airflow": Expected(
            "wrong",
            "A cancellation skips the tasks that had not begun, and who clears what has failed leaves those out: the "
            "run ends well, and nothing is counted.",
        ),
        "dagster": Expected(
            "wrong",
            "Of a mapped op, a retry from failure repeats the steps that have begun, and forgets those that had not.",
        ),
        "prefect": Expected("right", "The flow runs again as a whole, and maps over the list as it did before."),
    },
    observe=observe,
    differs="The report is of a step that fails; the case cancels the run, and retries it from its page.",
)
