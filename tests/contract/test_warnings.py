"""A month whose rows break a data test of severity ``warn``: it is loaded and reported, and fails when strict."""

from __future__ import annotations

from core.extract import sample
from core.lab.registry import BASELINE
from core.month import parse_months
from core.waiting import until
from tests.contract.bench import Bench
from tests.odd_months import undocumented_codes
from tests.planted import files, leaks, tables

MONTH = "2024-01"
ROWS = 2000
"""With fewer, the rows that the generator puts outside a month would be a warning of their own."""
FINDING = "codes_are_documented on fct_trips: 7 of "


def test_a_warning_is_reported_and_fails_a_strict_run(bench: Bench, orchestrator: str) -> None:
    folder, schema = bench.work / f"odd-{orchestrator}", bench.schema()
    sample.ensure(folder, parse_months(MONTH), rows=ROWS)
    undocumented_codes(folder, MONTH, 7)

    (month,) = bench.backfill(orchestrator, [MONTH], folder, schema).months
    assert (month.summary, month.error) == ("success, 1 warning", None)
    assert month.warnings[0].startswith(FINDING)
    # In its log or in its database: its own web page shows both.
    if orchestrator != BASELINE:
        lines = (f"check {MONTH}: success, ", f"check {MONTH}: {FINDING}")
        until(lambda: all(kept(bench, orchestrator, line) for line in lines) or None, 60, 0.5, "both lines in its log")

    strict = bench.backfill(orchestrator, [MONTH], folder, schema, strict=True)
    (month,) = strict.months
    assert (strict.status, month.state, month.warnings) == ("failed", "failed", [])
    assert FINDING in str(month.error)


def kept(bench: Bench, orchestrator: str, line: str) -> list[str]:
    """Return where a line that a step logged stands in the orchestrator's logs and history."""
    history = [text for database in bench.databases(orchestrator) for text in tables(database)]
    return leaks([line], [*files(bench.lab.settings.home / orchestrator / "home"), *history])
