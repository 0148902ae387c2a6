"""What the tests and the pictures look at: how to open an orchestrator's pages, as a person would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from playwright.sync_api import Page

Open = Callable[[Page, str], None]
"""Called with an empty page and the web address of the services; returns when the page shows what it is for."""

OpenMonth = Callable[[Page, str, str], None]
"""Likewise, of one month."""


@dataclass(frozen=True)
class Tour:
    """An orchestrator's pages. Where several runs fit, the newest is meant."""

    orchestrator: str
    runs: Open
    """The list of the runs of a backfill."""
    log: OpenMonth
    """The log of `ingest_month`, of a run that succeeded."""
    failures: Sequence[OpenMonth]
    """What a person opens of a run that failed in `ingest_month`: first the page behind its line in the list of runs,
    then, if that is another page, the step that failed. Each shows the cause without scrolling."""
    tolerated: Mapping[str, str]
    """Errors on the console that are the orchestrator's own: a regular expression each, and the reason."""
    pictures: Mapping[str, Open]
    """The pictures under docs/pictures/<orchestrator>/: name and page, in the order in which they are taken."""
