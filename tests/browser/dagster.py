"""Dagster's pages."""

from __future__ import annotations

from functools import partial

from playwright.sync_api import Page, expect

from tests.browser.tour import Tour


def runs(page: Page, web: str) -> None:
    """The runs of the newest backfill, one for each month."""
    page.goto(f"{web}/runs")
    page.locator("a[href^='/runs/b/']").first.click()
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("partition: ").first).to_be_visible()


def run(page: Page, web: str, month: str) -> None:
    """The newest run of `month`; its events are scrolled to the last one."""
    runs(page, web)
    view = page.get_by_role("link", name="View", exact=True)
    page.locator("div").filter(has_text=f"partition: {month}").filter(has=view).last.get_by_role(
        "link", name="View", exact=True
    ).click()
    expect(page.get_by_text("Process for run exited").first).to_be_visible()


def log(page: Page, web: str, month: str) -> None:
    run(page, web, month)
    # The list of events holds only those in view.
    page.get_by_placeholder("Filter…").fill("published")


def asset(page: Page, web: str, name: str, view: str) -> None:
    page.goto(f"{web}/assets/{name}?view={view}")


def columns(page: Page, web: str) -> None:
    asset(page, web, "raw_trips", "overview")
    expect(page.get_by_text("Published as VendorID.").first).to_be_visible()


def checks(page: Page, web: str) -> None:
    asset(page, web, "fct_trips", "checks")
    expect(page.get_by_text("Latest execution").first).to_be_visible()


TOUR = Tour(
    "dagster",
    runs,
    log,
    [run],
    tolerated={},
    pictures={
        "runs": runs,
        "failed-run": partial(run, month="2024-02"),
        "log": partial(log, month="2024-01"),
        "columns": columns,
        "checks": checks,
    },
)
