"""The page of all results: what it shows, when it shows nothing, and that it loads nothing."""

from __future__ import annotations

import html
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
from benchmarks.summary.blocks import TOOLS, Origin, command, measured_on, spread
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Range, Results, Selection
from benchmarks.summary.markup import Html, tag
from benchmarks.summary.sections.capabilities import capabilities
from benchmarks.summary.sections.chains import PARTS, chains, spans
from benchmarks.summary.sections.choice import Measure, choice, leading
from benchmarks.summary.sections.claims import claims, marked
from benchmarks.summary.sections.conformance import conformance
from benchmarks.summary.sections.costs import floor
from benchmarks.summary.sections.curves import curves
from benchmarks.summary.sections.drills import drills
from benchmarks.summary.sections.guide import MOST, guide
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
    assert "&lt;scheduler&gt;" in text or (ROOT / "benchmarks/results/drills.json").exists()
    assert "can't &lt;pass&gt; data" in text
    assert not re.search("<(scheduler|processor|pass|1 s)>", text)


def test_the_heat_map_says_what_became_of_each_drill(tmp_path: Path) -> None:
    root = made_up.write(tmp_path, drills=made_up.drills())
    section = drills(Data(root=root))
    assert section
    found = re.findall('<td class="outcome-(\\w+)" data-label="([^"]+)">(.*?)</td>', section, re.DOTALL)
    said = [(outcome, phase, " ".join(re.sub("<[^>]+>", " ", cell).split())) for outcome, phase, cell in found]
    assert said == [
        ("alone", "load under way", "12.5 s noticed 3.50 s"),
        ("alone", "load under way", "12.5 s noticed 3.50 s, the lost attempt wrote"),
        ("again", "dbt under way", "run again noticed 3.50 s"),
        ("hand", "load under way", "by hand noticed 3.50 s"),
        ("hand", "load under way", "by hand"),
        ("wrong", "load under way", "wrong noticed 3.50 s"),
    ]
    assert "daemon, killed, as shipped" in section
    assert ">400</span>" in section
    assert "the step's process, stopped" in section


def test_the_curves_say_what_a_task_costs_and_how_far_the_rest_got(tmp_path: Path) -> None:
    line = {"orchestrator": "airflow", "isolation": "process per task", "round": 1}
    rows: list[dict[str, Any]] = [
        {**line, "what": "tasks", "tasks": 100, "state": "ended", "run_s": 12.0, "ended": 100},
        {**line, "what": "tasks", "tasks": 1000, "state": "not ended", "run_s": None, "ended": 420},
        {**line, "what": "runs", "runs": 200, "state": "not ended", "run_s": 60.0, "ended": 120},
    ]
    root = made_up.write(tmp_path, curves={**made_up.ABOUT, "deadline_s": 60.0, "rows": rows})
    said = text_of(curves(Data(root=root)))
    assert "Airflow, process per task 120 420 ended" in said
    assert "Airflow, process per task 2.00 120 of 200" in said


def test_the_conformance_section_has_the_published_verdicts() -> None:
    said = text_of(conformance(Data()))
    assert "Does a decimal of 19 digits reach the next task with all of them?" in said
    assert "wrong 0 of 3" in said
    assert conformance(Data(root=Path("/nowhere"))) is None


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
    return Range(Figure(median, ""), Figure(low, ""), Figure(high, ""))


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
        ({"plain": [1, 1], "airflow": [30, 40], "dagster": [36, 37], "prefect": [48]}, "Airflow and Dagster: a tie"),
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


def test_of_rows_with_the_same_time_the_first_is_the_middle() -> None:
    rows = [{"s": 3.0, "of": 1}, {"s": 2.0, "of": 2}, {"s": 1.0, "of": 3}, {"s": 2.0, "of": 4}]
    assert Selection("x", rows, {}).middle_row("s")["of"] == 2


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
    # To a part of the page, or to a file beside it
    assert [address for address in found.values("href") if re.match(r"/|[a-z]+:", address)] == []
    assert not re.search(r"https?://|url\(|@import|//cdn", full[1])


def test_the_page_can_be_read_without_seeing_it(full: tuple[Path, str]) -> None:
    found = Page(full[1])
    names = Counter(name for name, _ in found.elements)
    assert names["h1"] == names["main"] == names["nav"] == names["header"] == names["footer"] == 1
    ids = Counter(found.values("id"))
    assert max(ids.values()) == 1
    assert {*found.values("aria-labelledby"), *(each[1:] for each in found.values("href") if each[0] == "#")} <= {*ids}
    levels = [int(name[1]) for name, _ in found.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert names["caption"] == names["table"] > 20
    figures = re.findall("<figure.*?</figure>", full[1], re.DOTALL)
    assert len(figures) == names["figure"] > 15
    for each in figures:
        assert all(part in each for part in ("<figcaption", 'role="img"', "<table"))
    assert {given.get("tabindex") for _, given in found.elements if given.get("role") == "region"} == {"0"}


def test_a_section_with_charts_says_once_how_to_reproduce_them_and_names_every_file_that_they_are_of(
    full: tuple[Path, str],
) -> None:
    sections = re.findall(r'<section id="(\w+)".*?</section>', full[1], re.DOTALL)
    drawn = {name: part for name, part in zip(sections, full[1].split("<section ")[1:], strict=True)
             if "<figure" in part}  # fmt: skip
    assert {"costs", "floor", "chains", "race", "strategies"} <= {*drawn}
    for part in drawn.values():
        assert part.count("Reproduce: ") == part.count('class="origin"') == 1
        files = {Path(path).stem for path in re.findall(r"<code>([\w/]+\.json)</code>", part)}
        used = {word for source in re.findall(r'data-source="(.+?)"', part)
                for word in re.findall(r"\w+\((\w+),", source)}  # fmt: skip
        assert used == files


def text_of(made: str | None) -> str:
    """Return what a reader sees of markup."""
    spaced = re.sub(r"<(?!/?(?:a|b|code|span|strong)\b)[^>]+>", " ", made or "")
    return " ".join(html.unescape(re.sub("<[^>]+>", "", spaced)).split())


def about(load: float, cores: int = 2) -> dict[str, Any]:
    machine = {"cpu": "any", "ram_gb": 8, "system": "Linux", "cores": cores, "load_average_at_start": load}
    return {**made_up.ABOUT, "machine": machine, "rows": []}


def test_a_measurement_on_a_busy_machine_says_so() -> None:
    said = "The machine was busy when times began: load average 1.03 on 2 cores."
    assert said in text_of(Origin("make", "1 s", [Results("times.json", about(1.03))]).line())
    for quiet in (about(1.0), about(1.03, cores=4)):
        assert "busy" not in text_of(Origin("make", "1 s", [Results("times.json", quiet)]).line())
    steps = Results("points.json", {"steps": {"load": about(0.1), "build": about(1.5)}, "rows": []})
    line = text_of(Origin("make", "1 s", [steps]).line())
    assert "points (build) began" in line and "points (load)" not in line
    assert measured_on(steps) == ["2026-01-02"]


def test_a_single_round_has_no_range() -> None:
    rows = [{"tool": "a", "s": 27.0}, {"tool": "b", "s": 27.0}, {"tool": "b", "s": 28.0}]
    results = Results("times.json", {"rows": rows})
    assert text_of(spread(results.of(tool="a").range("s"))) == "27.0 (1 round)"
    assert text_of(spread(results.of(tool="a").range("s") / 2)) == "13.5 (1 round)"
    assert text_of(spread(results.of(tool="b").range("s"))) == "27.5 (27.0 - 28.0)"


def test_nothing_is_written_as_nothing_and_a_precise_figure_has_three_digits() -> None:
    assert [Figure(value, "").text for value in (0.0, 0.01, 0.859)] == ["0", "0.010", "0.86"]
    assert [Figure(value, "").precise for value in (0.0, 0.01234, 0.859, 1.417, 36.6, 4567)] == [
        "0", "0.0123", "0.859", "1.42", "36.6", "4,567",
    ]  # fmt: skip


def test_a_command_breaks_between_its_words_only() -> None:
    made = command("triptych backfill 2024-01..2024-02 --on all | tail -n 4")
    assert re.findall('<span class="whole">(.+?)</span>', made) == ["--on", "-n"]
    assert text_of(made) == "triptych backfill 2024-01..2024-02 --on all | tail -n 4"


def test_heavy_months_are_those_of_which_every_overhead_is_a_small_share(tmp_path: Path) -> None:
    walls = {"plain": [12.0], "airflow": [24.0], "dagster": [36.0]}
    made = text_of(choice(Data(root=made_up.write(tmp_path, backfill=made_up.backfill(walls)))))
    # Of 12 months each takes one second longer on Airflow, two on Dagster: 5 % of 20 and of 40.
    assert "Above 40.0 s of work per month, the overhead of each is below 5%" in made
    assert "No month of more than 60,000 rows was run" in made
    without = made_up.write(tmp_path / "b", backfill=made_up.backfill({"airflow": [24.0], "dagster": [36.0]}))
    assert "heavy months" not in text_of(choice(Data(root=without)))
    assert "They take about M × (work + 1.00 s) on Airflow; M × (work + 2.00 s) on Dagster" in made


def test_every_link_leads_to_a_part_of_the_page_or_to_a_file() -> None:
    text = page.published()
    links = set(re.findall(r'<a [^>]*?href="(.+?)"', text))
    anchors, files = ({link for link in links if link.startswith("#") is is_anchor} for is_anchor in (True, False))
    assert len(anchors) > 10 and len(files) > 30
    assert [link for link in anchors if f'id="{link[1:]}"' not in text] == []
    assert [link for link in files if not (ROOT / SUMMARY).parent.joinpath(link).exists()] == []


def test_an_answer_has_what_each_orchestrator_costs_the_cheapest_first(tmp_path: Path) -> None:
    walls = {"plain": [12.0], "airflow": [24.0], "dagster": [36.0]}
    root = made_up.write(tmp_path, backfill=made_up.backfill(walls), chains=made_up.chains())
    made = text_of(choice(Data(root=root)))
    assert "They take about N × 2.00 s on Airflow; N × 3.00 s on Dagster." in made
    # One that offers several kinds of isolation has the figure of its cheapest one.
    assert re.search(
        r"They take about N × (0\.\d+) s on Airflow \(process per task\); N × \1 s on Prefect \(in-process\); "
        r"N × 0\.\d+ s on Dagster \(process per task\)",
        made,
    )


def test_idle_services_as_shipped_are_in_the_table_where_they_were_watched(tmp_path: Path) -> None:
    walls = {"plain": [1.0], "airflow": [2.0], "dagster": [3.0]}

    def idle(*names: str) -> dict[str, Any]:
        rows = [
            {"orchestrator": tool, "what": what, "peak_mb": 400.0, "cpu_s": 30.0} for tool in walls for what in names
        ]
        return {**made_up.ABOUT, "idle_s": 300, "rows": rows}

    def shown(folder: str, *names: str) -> str:
        more = {"floor": made_up.floor(), "footprint": idle(*names)}
        return text_of(choice(Data(root=made_up.write(tmp_path / folder, backfill=made_up.backfill(walls), **more))))

    tuned, both = shown("a", "idle"), shown("b", "idle", "idle as shipped")
    assert "watched with tuned settings only" in tuned and "Idle services as shipped" not in tuned
    assert "tuned settings only" not in both and "Idle services as shipped: memory, MB" in both


def test_the_baseline_that_waited_for_dbt_is_named(tmp_path: Path) -> None:
    older = made_up.backfill({"plain": [1.0], "airflow": [2.0], "dagster": [3.0]})
    assert "Plain Python is too slow here" in text_of(choice(Data(root=made_up.write(tmp_path / "a", backfill=older))))
    newer = {**older, "dbt": "warm"}
    made = text_of(choice(Data(root=made_up.write(tmp_path / "b", backfill=newer))))
    assert "too slow" not in made


def test_months_of_empty_steps_that_take_longer_than_unchanged_ones_are_explained(tmp_path: Path) -> None:
    walls = {"plain": [1.0], "airflow": [3.0], "dagster": [99.0]}
    root = made_up.write(tmp_path, backfill=made_up.backfill(walls), floor=made_up.floor())
    made = text_of(floor(Data(root=root)))
    assert "Airflow takes 12.2 s for these, and 3.00 s for those" in made and "Dagster takes" not in made


def test_the_choice_says_what_was_not_measured(tmp_path: Path) -> None:
    walls = {"plain": [1.0], "airflow": [2.0], "dagster": [3.0]}
    bare = text_of(choice(Data(root=made_up.write(tmp_path / "a", backfill=made_up.backfill(walls)))))
    assert "as shipped they were not measured" in bare and "in a run of many tasks was not measured" in bare
    more = {"floor": made_up.floor(), "chains": made_up.chains()}
    whole = text_of(choice(Data(root=made_up.write(tmp_path / "b", backfill=made_up.backfill(walls), **more))))
    assert "was not measured" not in whole and "were not measured" not in whole
    assert (
        "What a task costs is in the chains" in whole
        and "Airflow takes the least time per task (process per task)" in whole
    )


def test_each_tool_is_shown_as_its_readme_says_that_it_is_configured(tmp_path: Path) -> None:
    found = {tool: Data().configured(tool) for tool in made_up.TOOLS}
    assert {tuple(each) for each in found.values()} == {("executor", "metadata database", "services", "runs")}
    assert found["airflow"]["executor"].startswith("LocalExecutor")
    assert Data(root=tmp_path).configured("airflow") == {}


def test_what_differs_from_what_was_expected_is_listed_by_its_case(tmp_path: Path) -> None:
    native = dict.fromkeys(made_up.TOOLS, "native")
    same: dict[str, Any] = {**dict.fromkeys(made_up.TOOLS, "same"), "expected": "same", "native": native}
    rows = [{"value": f"text {number}", "way": "", **same, "airflow": {"fails": True}} for number in range(MOST + 1)]
    asked: Any = [*rows, {"value": "a number", "way": "", **same, "dagster": None}]
    made = guide(Data(root=made_up.write(tmp_path, values=asked)))
    assert f"1 of {MOST + 2}" in text_of(made) and "Airflow text 3 same fails: yes" in text_of(made)
    assert f"text {MOST}" not in text_of(made) and f"... of {MOST + 1} in all" in text_of(made)
    assert "docs/guide/values.md" in text_of(made) and made and made.count('href="#differs-values"') == 1
    agreed: Any = [{"value": "a", **same}]
    assert "<details" not in (guide(Data(root=made_up.write(tmp_path / "b", values=agreed))) or "")


def test_the_settings_of_the_adapters_are_listed_where_the_floor_has_them(tmp_path: Path) -> None:
    made = made_up.floor()
    assert "airflow.poll <1 s> 5 s" in text_of(floor(Data(root=made_up.write(tmp_path / "a", floor=made))))
    del made["settings"]
    assert "airflow.poll" not in text_of(floor(Data(root=made_up.write(tmp_path / "b", floor=made))))


def test_an_aim_missed_by_far_is_a_multiple_and_the_range_of_days_is_at_the_top(tmp_path: Path) -> None:
    root = made_up.write(tmp_path, backfill=made_up.backfill({"plain": [1.0], "airflow": [27.6], "dagster": [9.0]}))
    text = text_of(page.render(Data(root=root)))
    assert "at most 6.00 27.6 missed: 4.60 x the aim" in text and "missed by 12.5%" in text
    assert "Data of 2026-01-02. How to run all of it: README.md." in text


def test_charts_that_are_compared_have_one_axis(full: tuple[Path, str]) -> None:
    def ticks(name: str) -> list[str]:
        (drawn,) = re.findall(f'<figcaption id="{name}-caption">.*?</figure>', full[1], re.DOTALL)
        return re.findall(r'class="tick" x="([\d.]+%)"', drawn)

    assert ticks("load-wall") == ticks("unchanged-wall") and ticks("load-memory") == ticks("unchanged-memory")
    races = [ticks(name) for name in re.findall('<figcaption id="(race-[0-9]+)-caption"', full[1])]
    assert len(races) > 1 and all(each == races[0] for each in races)


def test_what_the_baseline_lacks_is_not_held_against_it(full: tuple[Path, str]) -> None:
    made = capabilities(Data(root=full[0])) or ""
    assert {*re.findall('<td class="(.+?)" data-label="Plain Python"', made)} == {"yes", "neutral"}
    assert {*re.findall(r'<td class="(\w+)" data-label="Apache Airflow"', made)} == {"yes", "no"}


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
    assert len(marks) == 12
    bounds = {**dict.fromkeys(text, 4.5), **dict.fromkeys(marks, 3.0)}
    low = {(name, ground) for name, bound in bounds.items() for ground in ("page", "card")
           if contrast(colors[name], colors[ground]) < bound}  # fmt: skip
    assert low == set()


def test_the_page_is_small_enough_to_send_and_names_no_place_on_this_machine(full: tuple[Path, str]) -> None:
    assert len(full[1].encode()) < 512 * 1024
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
