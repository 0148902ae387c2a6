"""The case: a month is loaded again while its mart is refreshed, and in the end the mart has what was loaded last."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.load_during_refresh import work
from tests.conformance.load_during_refresh.pipelines import LOAD, REFRESH
from tests.conformance.observing import PATIENCE_S, POLL_S, happens, ids, new, settled
from tests.questions.asking import Asking

HELD = "2024-01"

FIRST, LOOKED, CONTROL = "2024-02", "2024-03", "2024-04"
"""Months that are loaded before, during and after: what follows shows that the automation has looked since."""


def observe(asking: Asking) -> Observed:
    """Load a month while its refresh is held open, let that end, and return what the mart has had since."""
    place = work.folder(asking.bench.lab.settings)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    # What is loaded before the first look at conditions starts nothing.
    happens(lambda: is_followed(asking, FIRST, 30), PATIENCE_S, "the first refresh")
    before = ids(asking, REFRESH)
    hold = place / f"{HELD}.hold"
    hold.touch()
    asking.run(LOAD, {}, HELD)
    until(lambda: (place / f"{HELD}.read").exists() or None, PATIENCE_S, POLL_S, "a refresh that has read the month")
    asking.run(LOAD, {}, HELD)
    # Whoever asks for another month's refresh has seen the load before it.
    has_looked = is_followed(asking, LOOKED, PATIENCE_S)
    hold.unlink()
    until(lambda: refreshes(place) or None, PATIENCE_S, POLL_S, "the end of the refresh")
    is_control_there = is_followed(asking, CONTROL, PATIENCE_S)
    settled(asking, REFRESH, before, lambda _: True)
    loads = int((place / f"{HELD}.loaded").read_text())
    return {
        "loads": loads, "the mart has load": refreshes(place), "others are refreshed": has_looked and is_control_there,
    }  # fmt: skip


def is_followed(asking: Asking, month: str, within_s: float) -> bool:
    """Load a month, and return whether a run that refreshes it follows; that run may have to wait."""
    before = ids(asking, REFRESH)
    asking.run(LOAD, {}, month)
    return happens(lambda: month in {run.partition for run in new(asking, REFRESH, before)}, within_s, month)


def refreshes(place: Path) -> list[int]:
    """Return which load each refresh of the month has read, oldest first."""
    path = place / f"{HELD}.mart"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


CASE = Case(
    question="Is the mart of a month refreshed again when the month was loaded again during its refresh?",
    theme="Late data",
    report="dagster-io/dagster#33587",
    right=lambda observed: observed["the mart has load"][-1:] == [observed["loads"]],
    right_answer="When nothing runs any more, the mart has the second load.",
    expected={
        "airflow": Expected(
            "right", "The second event starts a run of its own, which waits until the first has ended."
        ),
        "dagster": Expected(
            "wrong",
            "`eager` does not ask while the partition is in progress, and when that has ended, it takes the load for "
            "handled, although it came after what the refresh has read.",
        ),
        "prefect": Expected(
            "right", "The second event starts a run of its own, which waits until the first has ended."
        ),
    },
    observe=observe,
    differs="The report has both events between two looks; the case lets the automation look while the refresh runs.",
)
