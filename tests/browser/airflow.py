"""Airflow's pages."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.tour import Tour

DAG = "dags/taxi_pipeline"


def home(page: Page, web: str) -> None:
    page.goto(web)
    expect(page.get_by_text("Triggerer", exact=True)).to_be_visible()
    expect(page.get_by_text("The triggerer is red because none runs here")).to_be_visible()


def dag(page: Page, web: str) -> None:
    page.goto(f"{web}/{DAG}")
    expect(page.get_by_text("Next Run")).to_be_visible()
    # The latest run: the page shows gray boxes until it knows it.
    expect(page.get_by_role("link", name=re.compile(r"^20[0-9]{2}-[0-9]{2}-01 ")).first).to_be_visible()


def docs(page: Page, web: str) -> None:
    dag(page, web)
    page.get_by_role("button", name="Dag Docs").click()
    expect(page.get_by_text("transform ─► check")).to_be_visible()


def trigger(page: Page, web: str) -> None:
    dag(page, web)
    page.get_by_role("button", name="Trigger").click()
    expect(page.get_by_text("The month to load, such as 2024-01")).to_be_visible()


def asset(page: Page, web: str) -> None:
    """The table of the raw trips, and its events, opened from the list of assets."""
    page.goto(f"{web}/assets")
    page.get_by_role("link", name="raw_trips").click()
    expect(page.get_by_text("Partition Key: 2024-01").first).to_be_visible()


def runs(page: Page, web: str) -> None:
    """The newest runs first: without an order, the page begins with the latest months, and shows no more than fit.

    The order is of creation, because a canceled run that never started comes before all by its start.
    """
    page.goto(f"{web}/{DAG}/runs?sort=-id")


def run(page: Page, web: str, month: str) -> None:
    """The newest run of `month`, opened from the list of runs."""
    runs(page, web)
    page.get_by_role("link", name=f"__{month}-01T").first.click()
    expect(page.get_by_text("6 Task Instances").first).to_be_visible()


def log(page: Page, web: str, month: str) -> None:
    run(page, web, month)
    page.get_by_role("table").get_by_role("link", name="ingest_month").click()
    expect(page.get_by_text("Post Execute").first).to_be_visible()


TOUR = Tour(
    "airflow",
    runs,
    log,
    [run, log],
    tolerated={},
    pictures={
        "home": home,
        "dag": dag,
        "docs": docs,
        "trigger": trigger,
        "asset": asset,
        "runs": runs,
        "failed-run": lambda page, web: run(page, web, "2024-02"),
        "failed-task": lambda page, web: log(page, web, "2024-02"),
        "task": lambda page, web: log(page, web, "2024-01"),
    },
)
