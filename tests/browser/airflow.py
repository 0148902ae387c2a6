"""Airflow's pages."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.tour import Tour

DAG = "dags/taxi_pipeline"


def runs(page: Page, web: str) -> None:
    page.goto(f"{web}/{DAG}/runs")


def run(page: Page, web: str, month: str) -> None:
    """The newest run of `month`, opened from the list of runs."""
    runs(page, web)
    page.get_by_role("link", name=f"__{month}-01T").first.click()


def log(page: Page, web: str, month: str) -> None:
    run(page, web, month)
    page.get_by_role("table").get_by_role("link", name="ingest_month").click()


TOUR = Tour("airflow", runs, log, [run, log], tolerated={}, pictures={"runs": runs})
