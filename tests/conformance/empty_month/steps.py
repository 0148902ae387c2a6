"""The steps of the taxi pipeline that the three call: those of `core.pipeline`, with one order for all."""

from __future__ import annotations

from typing import Any

from core import pipeline
from core.month import Month
from core.run import Run


def load(source: str, schema: str, month: str, accept: bool) -> dict[str, Any]:
    """Load the zones and the month, and return how many rows it has."""
    run = Run(source, schema, loader="conformance", run_id=f"empty_month {month}", accept_suspect=accept)
    pipeline.ingest_zones(run)
    return {"rows": pipeline.ingest_month(run, Month.parse(month)).rows}


def build(source: str, schema: str, month: str) -> None:
    """Build the models of the month, and fail when a test of its rows has failed."""
    run = Run(source, schema, loader="conformance", run_id=f"empty_month {month}")
    pipeline.transform(run, Month.parse(month))
    pipeline.check(run, Month.parse(month))
