"""What a person sees on each orchestrator's own pages, in a real browser, of a good month and of one that failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from core.lab.registry import orchestrators
from core.waiting import until
from tests.browser import airflow, chromium, dagster, prefect
from tests.browser.tour import Tour
from tests.contract.bench import MONTHS, Bench

pytestmark = [
    pytest.mark.slow,
    pytest.mark.without_baseline,
    pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING),
]

TOURS = {tour.orchestrator: tour for tour in (airflow.TOUR, dagster.TOUR, prefect.TOUR)}

GOOD, BAD = MONTHS[:2]

HTTP_LIBRARY = re.compile("(httpx|httpcore)/")
"""In a traceback, the path of a frame."""

IN_VIEW = """all => new Promise(tell => {
  const watch = new IntersectionObserver(seen => tell(seen.some(each => each.isIntersecting)))
  all.forEach(each => watch.observe(each))
  if (!all.length) tell(false)
})"""
"""Whether one of the places that show a text is in view: Dagster and Prefect show a cause more than once."""


@dataclass
class Backfilled:
    """An orchestrator after a backfill of both months."""

    tour: Tour
    web: str
    rows: int
    """Rows of the good month."""
    cause: str
    """Why the bad month failed, on one line."""


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="module")
def backfilled(bench: Bench, orchestrator: str) -> Backfilled:
    """Two months over http; the site cuts the transfer of one of them, at each of its attempts."""
    tour = TOURS[orchestrator]
    with bench.publisher() as site:
        site.cut(BAD, times=None)
        result = bench.backfill(orchestrator, (GOOD, BAD), site.url, bench.schema())
    good, bad = result.months
    assert (good.state, bad.state) == ("success", "failed"), result
    web = bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator]).start().web
    assert web and good.rows and bad.error
    return Backfilled(tour, web, good.rows, bad.error)


@pytest.fixture
def page(browser: BrowserContext, backfilled: Backfilled) -> Iterator[Page]:
    """An empty page. The test fails, too, when a page that it opened logs an error of ours on its console."""
    with chromium.visit(browser, backfilled.tour.tolerated) as opened:
        yield opened


def test_the_runs_of_a_backfill_are_listed(backfilled: Backfilled, page: Page) -> None:
    backfilled.tour.runs(page, backfilled.web)
    for month in (GOOD, BAD):
        expect(page.get_by_text(month).first).to_be_visible()


def test_our_log_line_is_in_the_log_of_a_step(backfilled: Backfilled, page: Page) -> None:
    backfilled.tour.log(page, backfilled.web, GOOD)
    line = f"published {backfilled.rows} rows of green_tripdata_{GOOD}.parquet"
    expect(page.get_by_text(line).first).to_be_visible()


def test_a_failed_run_shows_its_cause_first_and_no_frames_of_a_library(backfilled: Backfilled, page: Page) -> None:
    for failure in backfilled.tour.failures:
        failure(page, backfilled.web, BAD)
        cause = page.get_by_text(backfilled.cause)
        until(lambda: cause.evaluate_all(IN_VIEW) or None, chromium.DEADLINE_MS / 1000, 0.2, "the cause in view")  # noqa: B023
        expect(page.get_by_text(HTTP_LIBRARY)).to_have_count(0)
