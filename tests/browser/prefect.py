"""Prefect's pages."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.tour import Tour


def runs(page: Page, web: str) -> None:
    page.goto(f"{web}/runs")


def log(page: Page, web: str, month: str) -> None:
    open_run(page, web, month)


def failure(page: Page, web: str, month: str) -> None:
    open_run(page, web, month)


def open_run(page: Page, web: str, month: str) -> None:
    """Open the newest run of `month` from the list of runs."""
    runs(page, web)
    page.get_by_role("link", name=month).first.click()


TOUR = Tour("prefect", runs, log, [failure], tolerated={}, pictures={"runs": runs})
