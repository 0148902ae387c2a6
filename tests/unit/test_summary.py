"""The page of all results: what it shows, when it shows nothing, and that it loads nothing."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.folklore.claims import CLAIMS
from benchmarks.harness.report import SUMMARY
from benchmarks.summary import page, svg
from benchmarks.summary.blocks import TOOLS
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Range, Results
from benchmarks.summary.markup import Html, tag
from benchmarks.summary.sections.chains import PARTS, chains, spans
from benchmarks.summary.sections.choice import Measure, choice, leading
from benchmarks.summary.sections.claims import claims, marked
from core.settings import ROOT
from tests import made_up_results as made_up
from tests.recomputed import Recomputed

VOID = {"br", "circle", "input", "line", "link", "meta", "path", "rect"}


class Page(HTMLParser):
    """A parsed page: its elements in their order, each with its attributes and its own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(text)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.texts.append("")
        if tag not in VOID:
            self._open.append(len(self.texts) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.texts[number] += data

    def values(self, attribute: str) -> list[str]:
        """Return the values of an attribute."""
        return [given[attribute] for _, given in self.elements if attribute in given]

    def figures(self) -> list[tuple[str, str, str]]:
        """Return each figure: as shown, exactly, and its expression."""
        found = zip(self.elements, self.texts, strict=True)
        return [(text.strip(), given["data-value"], given["data-source"]) for (_, given), text in found
                if "data-source" in given]  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The checkout and the page of the published results, with made-up ones where there are none yet."""
    root = made_up.with_published(tmp_path_factory.mktemp("checkout"))
    return root, page.render(Data(root=root), made_up.CLAIMS)


def test_text_is_escaped_and_markup_is_not() -> None:
    made = tag("p", "a < b & c", tag("b", "d"), title='say "<x>"', hidden=True, id=None, data_source="f('x')")
    assert made == ('<p title="say &quot;&lt;x&gt;&quot;" hidden data-source="f(\'x\')">a &lt; b &amp; c<b>d</b></p>\n')


def test_names_in_results_and_claims_can_not_add_markup(full: tuple[Path, str]) -> None:
    _, text = full
    assert "kill -9 &lt;scheduler&gt;" in text or (ROOT / "benchmarks/results/drills.json").exists()
    assert "can't &lt;pass&gt; data" in text
    assert not re.search("<(scheduler|processor|pass|1 s)>", text)


def test_a_figure_says_what_it_was_computed_from() -> None:
    rows = [{"tool": "a", "s": value} for value in (1.0, 4.0, 2.0, None)] + [{"tool": "b", "s": 9.0}]
    results = Results("any/times.json", {"rows": rows, "months": 12})
    found = results.of(tool="a").median("s") * 60 / results.value("months")
    assert (found.value, found.source) == (10.0, "median(times, 's', tool='a') * 60 / value(times, 'months')")
    difference = (results.of(tool="b").low("s") - results.of(tool="a").high("s")) / 2.0
    assert (difference.value, difference.source) == (
        2.5,
        "(low(times, 's', tool='b') - high(times, 's', tool='a')) / 2.0",
    )
    assert results.of(tool="a").count().text == "4"
    assert not results.of(tool="c")


def ranged(low: float, median: float, high: float) -> Range:
    return Range(*(Figure(value, "") for value in (median, low, high)))


def test_who_leads_is_the_smallest_median_and_whose_range_overlaps_with_its() -> None:
    time = Measure("s", {"a": ranged(5, 6, 7), "b": ranged(3, 4, 5), "c": ranged(5.1, 5.2, 9)})
    memory = Measure("MB", {"a": ranged(1, 1, 1), "b": ranged(2, 2, 2), "c": ranged(0.5, 3, 4)})
    assert time.leaders() == ["b", "a"]
    assert memory.leaders() == ["a", "c"]
    assert leading([time, memory]) == ["a"]
    assert leading([time, Measure("MB", {"a": ranged(3, 3, 3), "b": ranged(2, 2, 2), "c": ranged(1, 1, 1)})]) == []


@pytest.mark.parametrize(
    ("walls", "said"),
    [
        ({"plain": [1, 1], "airflow": [24, 25], "dagster": [36, 37], "prefect": [48, 50]}, "Airflow takes the least"),
        ({"plain": [1, 1], "airflow": [30, 40], "dagster": [36, 37], "prefect": [48]}, "Airflow and Dagster: equal"),
        ({"airflow": [30, 31], "prefect": [10, 11]}, "Prefect takes the least"),
    ],
)  # fmt: skip
def test_the_choice_follows_from_the_results(walls: dict[str, list[float]], said: str, tmp_path: Path) -> None:
    made = choice(Data(root=made_up.write(tmp_path, backfill=made_up.backfill(walls))))
    assert made and said in re.sub("<[^>]+>", "", made)


def test_a_choice_needs_two_orchestrators(tmp_path: Path) -> None:
    root = made_up.write(tmp_path, backfill=made_up.backfill({"plain": [1.0], "airflow": [2.0]}))
    assert choice(Data(root=root)) is None


def test_a_section_without_results_is_left_out_and_the_page_remains(tmp_path: Path) -> None:
    assert re.findall("<section", page.render(Data(root=tmp_path))) == []
    root = made_up.write(tmp_path, backfill=made_up.backfill({"plain": [1.0], "airflow": [2.0], "dagster": [3.0]}))
    text = page.render(Data(root=root))
    sections = re.findall('<section id="(.+?)"', text)
    assert sections == ["choice", "costs", "machine", "limits"]
    assert "Not measured yet: chains of small tasks" in text
    assert re.findall('<li><a href="#(.+?)">', text) == sections


def test_the_results_of_a_trial_are_read_from_their_folder(tmp_path: Path) -> None:
    made_up.write(tmp_path, backfill=made_up.backfill({"plain": [1.0], "airflow": [2.0]}))
    assert 'id="costs"' in page.published(tmp_path / "benchmarks" / "results")
    # Who can do what is not measured, and so the same in a trial.
    assert re.findall('<section id="(.+?)"', page.published(tmp_path / "nothing")) == ["capabilities"]


def test_parts_of_a_chain_add_up_and_follow_one_another(tmp_path: Path) -> None:
    root = made_up.write(tmp_path, chains=made_up.chains())
    results = Data(root=root).get("chains")
    assert results
    rows = results.of(chain="light", orchestrator="airflow", isolation="process per task")
    row = rows.middle_row("run_s")
    assert row["round"] == 2
    total = sum(rows.middle("run_s", f"{part}_s").value for part in PARTS)
    assert total == pytest.approx(row["run_s"])
    lengths = {color: sum(end - start for start, end in found) for color, found in spans(row).items()}
    assert lengths == {f"part-{part}": pytest.approx(row[f"{part}_s"], abs=1e-3) for part in PARTS}


def test_a_chain_without_times_has_no_time_line(tmp_path: Path) -> None:
    made = made_up.chains()
    for row in made["rows"]:
        row.pop("timeline", None)
    assert "preserveAspectRatio" in (chains(Data(root=made_up.write(tmp_path / "a", chains=made_up.chains()))) or "")
    found = chains(Data(root=made_up.write(tmp_path / "b", chains=made))) or ""
    assert "40 light tasks: seconds, by part" in found and "preserveAspectRatio" not in found


def test_claims_can_be_filtered_by_what_they_declare_or_name() -> None:
    found = Page(claims(made_up.CLAIMS) or "")
    assert found.values("data-tool") == ["airflow", "dagster", "airflow prefect"]
    assert found.values("data-verdict") == ["false", "depends", "stale"]
    options = [given["value"] for name, given in found.elements if name == "option"]
    assert options == ["", "false", "stale", "depends", "", "airflow", "dagster", "prefect"]
    assert claims([]) is None


def test_a_bar_is_as_long_as_its_value_and_its_whisker_goes_from_end_to_end() -> None:
    made = Page(svg.bars([svg.Mark("a", ranged(5, 10, 20)), svg.Mark("b", ranged(1, 1, 1))], "caption"))
    assert [given["width"] for name, given in made.elements if name == "rect"] == ["40.0%", "4.0%"]
    whisker = next(given for name, given in made.elements if name == "line" and given["x1"] != given["x2"])
    assert (whisker["x1"], whisker["x2"]) == ("20.0%", "80.0%")


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (svg.Scale.linear([51]), [0, 20, 40]),
        (svg.Scale.linear([8.2, 3]), [0, 2, 4, 6, 8]),
        (svg.Scale.linear([]), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (svg.Scale.logarithmic([0.08, 27]), [0.01, 0.1, 1, 10]),
    ],
)
def test_ticks_are_round(scale: svg.Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)


def test_every_figure_equals_its_results(full: tuple[Path, str]) -> None:
    root, text = full
    recomputed, figures = Recomputed(root), Page(text).figures()
    assert len(figures) > 500
    assert [why for figure in figures if (why := recomputed.wrong(*figure))] == []


def test_a_figure_that_differs_from_its_results_is_noticed(full: tuple[Path, str]) -> None:
    root, text = full
    shown, exact, source = Page(text).figures()[-1]
    recomputed = Recomputed(root)
    assert recomputed.wrong(shown, str(float(exact) + 1), source) and recomputed.wrong("12345.6", exact, source)


def test_nothing_is_loaded(full: tuple[Path, str]) -> None:
    found = Page(full[1])
    assert found.values("src") == [] and "object" not in {name for name, _ in found.elements}
    assert {address[0] for address in found.values("href")} == {"#"}
    assert not re.search(r"https?://|url\(|@import|//cdn", full[1])


def test_the_page_can_be_read_without_seeing_it(full: tuple[Path, str]) -> None:
    found = Page(full[1])
    names = Counter(name for name, _ in found.elements)
    assert names["h1"] == names["main"] == names["nav"] == names["header"] == names["footer"] == 1
    ids = Counter(found.values("id"))
    assert max(ids.values()) == 1
    assert {*found.values("aria-labelledby"), *(each[1:] for each in found.values("href"))} <= {*ids}
    levels = [int(name[1]) for name, _ in found.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert names["caption"] == names["table"] > 20
    figures = re.findall("<figure.*?</figure>", full[1], re.DOTALL)
    assert len(figures) == names["figure"] > 15
    for each in figures:
        assert all(part in each for part in ("<figcaption", 'role="img"', "<table", "Reproduce: ", "Data: "))
    assert {given.get("tabindex") for _, given in found.elements if given.get("role") == "region"} == {"0"}


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_the_contrast_that_wcag_aa_asks_for(theme: int) -> None:
    style = (ROOT / "benchmarks" / "summary" / "page.css").read_text()
    colors = {name: pair[theme] for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style)}
    text = ("ink", "soft", "accent", "good", "bad")
    marks = {*colors} - {*text, "page", "card", "rule"}
    assert len(marks) == 11
    bounds = {**dict.fromkeys(text, 4.5), **dict.fromkeys(marks, 3.0)}
    low = {(name, ground) for name, bound in bounds.items() for ground in ("page", "card")
           if contrast(colors[name], colors[ground]) < bound}  # fmt: skip
    assert low == set()


def test_the_page_is_small_enough_to_send_and_names_no_place_on_this_machine(full: tuple[Path, str]) -> None:
    assert len(full[1].encode()) < 400_000
    assert str(ROOT) not in full[1] and str(Path.home()) + "/" not in full[1]


def test_the_committed_page_agrees_with_the_committed_results() -> None:
    assert (ROOT / SUMMARY).read_text() == page.published(), "run `make report`"


def test_every_claim_is_on_the_page_with_what_evidence_says_and_a_command() -> None:
    known = page.known_claims()
    assert [each["claim"] for each in known] == [claim.text for claim in CLAIMS]
    assert all(each["figure"] and each["command"] for each in known)
    assert {tool for each in known for tool in each["tools"]} == {*TOOLS}


def test_without_recorded_checks_there_are_no_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise FileNotFoundError

    monkeypatch.setattr(page, "recorded", missing)
    assert page.known_claims() == ()


def test_what_stands_between_backticks_is_code() -> None:
    assert marked("the rule `a < b` holds") == "the rule <code>a &lt; b</code> holds"


def test_a_section_is_markup(full: tuple[Path, str]) -> None:
    made: Any = chains(Data(root=full[0]))
    assert isinstance(made, Html)
