"""Take the pictures of every orchestrator's pages, with services of a session of their own, and of the report.

python -m tests.browser.pictures [ORCHESTRATOR... | report]        writes docs/pictures/<orchestrator>/<name>.png
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, Page

from benchmarks.harness.report import SUMMARY
from core.extract import sample
from core.lab.postgres import Postgres
from core.lab.registry import orchestrators
from core.lab.session import Lab
from core.month import parse_months
from core.settings import ROOT, settings
from tests.browser import airflow, chromium, dagster, prefect, report
from tests.browser.tour import Tour
from tests.contract.bench import Bench

TOURS = {tour.orchestrator: tour for tour in (airflow.TOUR, dagster.TOUR, prefect.TOUR)}

MONTHS = ("2024-01", "2024-02", "2024-03")
BAD = MONTHS[1]

ROWS = 20_000
"""Rows of a month: as many as `triptych demo` loads."""

ANYWHERE = """root => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(root, "/triptych")
}"""
"""Write the checkout's path in a traceback as every machine could have it."""


def main(names: Sequence[str]) -> int:
    """Take the pictures of the named orchestrators and the report, or of all; return the exit code."""
    if chromium.PROGRAM is None:
        print(chromium.MISSING, file=sys.stderr)
        return 1
    chosen = names or [report.NAME, *TOURS]
    with chromium.browser() as started:
        if report.NAME in chosen:
            take_report(started)
        if orchestrated := [name for name in chosen if name != report.NAME]:
            take_tours(orchestrated, started)
    return 0


def take_report(started: BrowserContext) -> None:
    """Take the pictures of the committed page of all results."""
    for look in report.LOOKS:
        with chromium.visit(started, {}) as page:
            report.opened(page, ROOT / SUMMARY, look)
            save(page, report.NAME, look)


def take_tours(names: Sequence[str], started: BrowserContext) -> None:
    """Take the pictures of these orchestrators, with services of a session of their own."""
    with tempfile.TemporaryDirectory() as work:
        state = replace(settings(), home=Path(work) / "state")
        sample.ensure(Path(work) / "published", parse_months(f"{MONTHS[0]}..{MONTHS[-1]}"), rows=ROWS)
        try:
            with Lab(state) as lab:
                for name in names:
                    take(Bench(lab, Path(work)), TOURS[name], started)
        finally:
            # As root, the cluster lies outside the temporary folder.
            Postgres(state.home / "postgres").wipe()


def take(bench: Bench, tour: Tour, started: BrowserContext) -> None:
    """Backfill three months, one of which the site does not answer for, and take the orchestrator's pictures."""
    name = tour.orchestrator
    with bench.publisher() as site:
        site.fail(BAD, status=503, times=None)
        # A schema of the orchestrator's own name, as a user's first backfill has
        bench.backfill(name, MONTHS, site.url, name)
    web = bench.lab.stack(orchestrators(bench.lab.settings)[name]).start().web
    assert web, f"{name} has no web page"
    for picture, opened in tour.pictures.items():
        with chromium.visit(started, tour.tolerated) as page:
            opened(page, web)
            # What the tour does not wait for, such as a chart that grows
            page.wait_for_load_state("networkidle")
            page.evaluate(ANYWHERE, str(ROOT))
            save(page, name, picture)


def save(page: Page, of: str, picture: str) -> None:
    """Write what the window shows to docs/pictures/<of>/<picture>.png."""
    path = ROOT / "docs" / "pictures" / of / f"{picture}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # 256 colors are enough for a page, and take a third of the room.
    Image.open(BytesIO(page.screenshot())).convert("RGB").quantize().save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
