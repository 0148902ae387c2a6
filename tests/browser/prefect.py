"""Prefect's pages."""

from __future__ import annotations

import re
from functools import partial

from playwright.sync_api import Page, expect

from core.waiting import until
from tests.browser.chromium import DEADLINE_MS
from tests.browser.tour import Tour


def dashboard(page: Page, web: str) -> None:
    page.goto(f"{web}/dashboard")
    expect(page.get_by_text("Completed").first).to_be_visible()
    expect(page.get_by_text("Late runs").first).to_be_visible()


def runs(page: Page, web: str) -> None:
    page.goto(f"{web}/runs")
    expect(page.get_by_text(re.compile(r"^backfill .* -> ")).first).to_be_visible()


def run(page: Page, web: str, month: str) -> None:
    """The newest run of `month`, scrolled to its log: the page begins with a drawing of the run."""
    runs(page, web)
    page.get_by_role("link", name=re.compile(rf" {month}$")).first.click()
    page.get_by_text("submitting flow run").first.hover()
    # The log holds only the lines in view.
    page.mouse.wheel(0, 600)


def failure(page: Page, web: str, month: str) -> None:
    """The run, scrolled to the end of its log, which tells the cause last. Its page shows it nowhere else."""
    run(page, web, month)
    until(lambda: at_the_end(page), DEADLINE_MS / 1000, 0.2, "the end of the log")


def at_the_end(page: Page) -> bool | None:
    page.mouse.wheel(0, 2_000)
    return page.get_by_text("Engine execution exited").count() > 0 or None


def artifacts(page: Page, web: str) -> None:
    page.goto(f"{web}/artifacts")
    expect(page.get_by_text("-> prefect: success").first).to_be_visible()


def form(page: Page, web: str) -> None:
    """The form of a backfill."""
    page.goto(f"{web}/deployments")
    page.get_by_role("row").filter(has_text="backfill").get_by_role("link", name="triptych").first.click()
    page.wait_for_url("**/deployments/deployment/*")
    page.goto(f"{page.url}/run")
    expect(page.get_by_text("The PostgreSQL schema that is written").first).to_be_visible()


TOUR = Tour(
    "prefect",
    runs,
    run,
    [failure],
    tolerated={
        r"/favicon\.ico\)": "Prefect has none under this name",
        r"/ico/undefined\.svg\)": "the icon of the page's tab, for the moment before the state of the run is there",
    },
    pictures={
        "dashboard": dashboard,
        "runs": runs,
        "failed-run": partial(run, month="2024-02"),
        "artifacts": artifacts,
        "form": form,
    },
)
