"""The work behind the tasks: the pipeline's own steps, in a schema that all runs of an orchestrator share."""

from __future__ import annotations

from typing import Any

from core import pipeline
from core.errors import PermanentError
from core.month import Month
from core.run import Run
from tests.questions.events.pipelines import BATCH


def schema_of(orchestrator: str) -> str:
    """Return the schema of the orchestrator's runs. An event carries a month, and not where its rows are."""
    return f"events_{orchestrator}"


def load(orchestrator: str, run_id: str, month: str, source: str, force: bool, fail: str) -> dict[str, Any]:
    """Publish the month in `raw_trips`, and return the receipt; raise `PermanentError` where `fail` says."""
    run = Run(source=source, schema=schema_of(orchestrator), force=force, loader=orchestrator, run_id=run_id)
    if fail == "before the commit":
        raise PermanentError(f"{month} fails before its commit, as asked")
    receipt = pipeline.ingest_month(run, Month.parse(month))
    # A refresh needs them; they come second because the question holds a month in the middle of its load.
    pipeline.ingest_zones(run)
    if fail == "after the commit":
        raise PermanentError(f"{month} fails after its commit, as asked")
    return receipt.to_json()


def build(orchestrator: str, run_id: str, month: str = BATCH[-1]) -> dict[str, Any]:
    """Bring the models up to date with `raw_trips`, and return the receipt: the rows of `month` in `fct_trips`."""
    run = Run(source="", schema=schema_of(orchestrator), loader=orchestrator, run_id=run_id)
    return pipeline.transform(run, Month.parse(month)).to_json()
