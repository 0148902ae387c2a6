"""The page of all results in a real browser, from a file: filters, figures, the phone, and nothing that leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from benchmarks.summary.data import Data
from benchmarks.summary.page import render
from tests import made_up_results as made_up
from tests.browser import chromium, report
from tests.recomputed import Recomputed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING)]

FIGURES = """() => [...document.querySelectorAll("[data-source]")].map(
  (each) => [each.textContent.trim(), each.dataset.value, each.dataset.source])"""

LENGTHS = """() => [...document.querySelectorAll("svg.chart")].map((chart) =>
  [...chart.querySelectorAll("rect[data-value]")].map((bar) => [bar.getBBox().width, Number(bar.dataset.value)]))"""

WIDER = """() => [...document.querySelectorAll("body *")].filter(
  (each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll, .skip"))
  .map((each) => each.outerHTML.slice(0, 80))"""

BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def started() -> Iterator[BrowserContext]:
    """A browser, once for all tests: it takes a second to start."""
    with chromium.browser() as context:
        yield context


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the published results, made-up ones where there are none yet, and the page of them all."""
    root = made_up.with_published(tmp_path_factory.mktemp("checkout"))
    (root / "report.html").write_text(render(Data(root=root), made_up.CLAIMS))
    return root


@pytest.fixture
def page(started: BrowserContext, checkout: Path) -> Iterator[Page]:
    """The open page. At the end, nothing but its own file was asked for, and its console has no error."""
    asked: list[str] = []

    def hear(request: Request) -> None:
        asked.append(request.url)

    with chromium.visit(started, {}) as opened:
        opened.on("request", hear)
        report.opened(opened, checkout / "report.html", "light")
        yield opened
    assert {url.partition("#")[0] for url in asked} == {(checkout / "report.html").as_uri()}


def test_every_figure_equals_its_results(page: Page, checkout: Path) -> None:
    recomputed = Recomputed(checkout)
    figures: list[list[str]] = page.evaluate(FIGURES)
    assert len(figures) > 500
    assert [why for figure in figures if (why := recomputed.wrong(*figure))] == []


def test_bars_of_a_chart_are_as_long_as_their_values(page: Page) -> None:
    charts = [bars for bars in page.evaluate(LENGTHS) if bars]
    assert len(charts) >= 6
    for bars in charts:
        width, value = max(bars)
        assert [width * found / value for _, found in bars] == pytest.approx([found for found, _ in bars], abs=0.5)


def chosen(page: Page, name: str, **options: str) -> list[str]:
    """Return the row heads of a table after a choice in its lists."""
    part = page.locator(f"[data-filter={name}]")
    for key, label in options.items():
        part.locator(f"select[name={key}]").select_option(label)
    heads = part.locator("tbody tr:visible th").all_inner_texts()
    expect(part.locator("output")).to_contain_text(f"{len(heads)} of ")
    return heads


def test_claims_are_filtered_by_verdict_and_tool(page: Page) -> None:
    assert len(chosen(page, "claims")) == 3
    assert [head.split()[0] for head in chosen(page, "claims", tool="prefect")] == ["Every"]
    assert chosen(page, "claims", verdict="depends") == []
    assert [head.split()[0] for head in chosen(page, "claims", tool="")] == ["A"]
    assert len(chosen(page, "claims", verdict="")) == 3


def test_capabilities_are_filtered_by_who_has_and_who_lacks_them(page: Page) -> None:
    everything = chosen(page, "capabilities")
    assert "Two backfills run side by side." in everything
    assert "Two backfills run side by side." not in chosen(page, "capabilities", has="apache-airflow")
    assert chosen(page, "capabilities", has="dagster", lacks="apache-airflow") == ["Two backfills run side by side."]
    assert chosen(page, "capabilities", has="", lacks="") == everything


def test_every_filter_is_tested(page: Page) -> None:
    names = page.evaluate("() => [...document.querySelectorAll('[data-filter]')].map((each) => each.dataset.filter)")
    assert sorted(names) == ["capabilities", "claims"]


@pytest.mark.parametrize("look", report.LOOKS)
def test_nothing_is_wider_than_the_window(page: Page, checkout: Path, look: str) -> None:
    report.opened(page, checkout / "report.html", look)
    # What is folded away has no width.
    page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= report.LOOKS[look][0]
    assert page.evaluate(WIDER) == []


def test_the_theme_follows_the_system_until_the_reader_chooses(page: Page, checkout: Path) -> None:
    light = page.evaluate(BACKGROUND)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(BACKGROUND)
    assert dark != light
    page.get_by_role("button", name="Switch to the light theme").click()
    assert page.evaluate(BACKGROUND) == light
    page.reload()
    assert page.evaluate(BACKGROUND) == light
    page.get_by_role("button", name="Switch to the dark theme").click()
    assert page.evaluate(BACKGROUND) == dark
    page.evaluate("() => localStorage.clear()")


def test_the_keyboard_reaches_the_content_and_the_tables_behind_charts(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    folded = page.locator("figure#load-wall")
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(folded.get_by_role("table")).to_be_visible()


def test_a_link_to_what_is_folded_away_opens_it(page: Page) -> None:
    folded = page.locator("details#differs-values")
    expect(folded.get_by_role("table")).not_to_be_visible()
    page.locator("a[href='#differs-values']").first.click()
    expect(folded.get_by_role("table")).to_be_visible()


def test_an_open_table_has_the_whole_width_and_its_digits_are_in_line(page: Page) -> None:
    figure = page.locator("figure#race-60000")
    narrow = figure.bounding_box()
    figure.locator("summary").click()
    wide, row = figure.bounding_box(), page.locator("section#race .charts").bounding_box()
    assert narrow and wide and row and narrow["width"] + 100 < wide["width"] == pytest.approx(row["width"], abs=1)
    ends = page.locator("#choice .figures tbody td:nth-child(4) > span:first-child").evaluate_all(
        "(medians) => medians.map((each) => each.getBoundingClientRect().right)"
    )
    assert len(ends) >= 8 and max(ends) - min(ends) < 1


def test_a_screen_reader_is_told_the_caption_of_a_chart_and_the_name_of_a_section(page: Page) -> None:
    assert page.get_by_role("img", name="New months: wall seconds").count() == 1
    assert page.get_by_role("region", name="Which of the three for you").count() == 1
    assert page.get_by_role("navigation", name="On this page").count() == 1


def test_paper_shows_every_table_and_no_control(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("figure#load-wall table")).to_be_visible()
    assert page.locator("nav:visible, button:visible, form:visible").count() == 0


def test_without_scripts_all_rows_are_there_and_no_control_that_does_nothing(
    started: BrowserContext, checkout: Path
) -> None:
    assert started.browser
    context = started.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((checkout / "report.html").as_uri())
    assert page.locator("[data-filter=claims] tbody tr:visible").count() == 3
    assert page.locator("button:visible, form:visible").count() == 0
    context.close()
