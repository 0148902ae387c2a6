"""The pages of the guide show code that exists, tables that were observed, and nothing that was copied by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.harness import parts, source
from core.settings import ROOT
from tests.questions import commands, pages, tables
from tests.questions.asking import Asking
from tests.questions.values import question as values

PAGES = pages.pages()
NAMES = [page.stem for page in PAGES]

SHORTEST, LONGEST = 5, 25
"""How many lines of code, without the empty ones, a reader takes in at once."""

RESULT = re.compile(
    r"yes|no|✓|✗|-|(?:all )?\d[\d.,]*(?: .*)?|runs|ran|skipped|failed|success(?:ful)?|passed", re.IGNORECASE
)
"""A cell that looks like something observed."""


def each_page() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=NAMES)


@each_page()
def test_generated_parts_are_up_to_date(page: Path) -> None:
    assert pages.rewritten(page) == page.read_text(), "run `.venvs/lab/bin/python -m tests.questions.pages`"


def test_every_data_file_has_a_page() -> None:
    asked = {words.split()[0] for page in PAGES for words in pages.asked(page.read_text(), "table")}
    asked |= {"commands" for page in PAGES if pages.asked(page.read_text(), "output")}
    assert {path.stem for path in tables.DATA.glob("*.json")} - asked - {tables.ASKED} == set()


def test_every_declared_command_is_on_a_page() -> None:
    asked = {words for page in PAGES for words in pages.asked(page.read_text(), "output")}
    assert {command.name for command in commands.COMMANDS} == asked


@each_page()
def test_no_result_is_typed(page: Path) -> None:
    """A table that is written by hand may say where something is, but never what was observed."""
    rows = re.findall(r"^\|(.+)\|$", parts.outside(page.read_text()), re.MULTILINE)
    cells = [cell.strip(" *`") for row in rows if not set(row) <= set("|-: ") for cell in row.split("|")]
    assert [cell for cell in cells if RESULT.fullmatch(cell)] == []


@each_page()
def test_shown_code_is_short_enough_to_read_and_long_enough_to_say_something(page: Path) -> None:
    for words in pages.asked(page.read_text(), "code"):
        path, *names = words.split()
        lines = [line for line in source.shown(ROOT / path, *names).splitlines() if line.strip()]
        assert SHORTEST <= len(lines) <= LONGEST, words


@each_page()
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text())
    dead = [(path, name) for path, name in links if name not in headings(page.parent / path if path else page)]
    assert dead == []


def headings(page: Path) -> set[str]:
    """Return the names of a page's headings in links, as GitHub and the site make them."""
    text = page.read_text()
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*re.findall(r'<a id="(.+?)">', text)} | {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found
    }


@each_page()
def test_every_page_is_in_the_index_and_shows_a_command(page: Path) -> None:
    assert page.name == "README.md" or f"({page.name})" in (pages.GUIDE / "README.md").read_text()
    assert re.search(r"^(?:\$ )?(?:\.venvs/\w+/bin/|triptych |make )", page.read_text(), re.MULTILINE)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data, with three rows of one rule's answers."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setattr(tables, "DATA", folder)
    rows = [
        {
            "rule": "all_done",
            "upstreams": [a, b],
            "expected": "ran",
            "airflow": "ran",
            "dagster": dagster,
            "prefect": None,
            "n": 1500,
        }
        for a, b, dagster in [
            ("success", "failed", "ran"),
            ("failed", "success", "skipped"),
            ("failed", "failed", "ran"),
        ]
    ]
    (folder / "rules.json").write_text(json.dumps(rows))
    events = [{"cause": "a|b", "airflow": {"seconds": 0.61234}, "kept": True}, {"cause": "c", "kept": False}]
    (folder / "events.json").write_text(json.dumps(events))
    facts = {"version": "3.3.2", "at": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "machine": "2 cores"}
    (folder / "asked.json").write_text(json.dumps({"events": {"airflow": facts, "dagster": facts}}))
    return folder


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("rules rule expected airflow dagster", [
            "| rule | expected | Airflow | Dagster |", "| --- | --- | --- | --- |",
            "| all_done | ran | ✓ | ✓ |", "| all_done | ran | ✓ | **skipped** |", "| all_done | ran | ✓ | ✓ |"]),
        ("rules rule airflow dagster sum", [
            "| rule | Airflow | Dagster |", "| --- | --- | --- |", "| all_done | all 3 | **2 of 3** |"]),
        ("rules rule expected across upstreams", [
            "| rule | expected | 1 success, 1 failed | 2 failed |".replace(" expected |", ""), "| --- | --- | --- |",
            "| all_done | ran / ran, **Dagster: skipped** | ran |"]),
        ("events 'cause=what happened' airflow.seconds kept where kept=yes", [
            "| what happened | airflow seconds | kept |", "| --- | --- | --- |", "| a\\|b | 0.61 | yes |"]),
        ("rules rule prefect expected", [
            "| rule | Prefect | expected |", "| --- | --- | --- |", *["| all_done | - | ran |"] * 3]),
        ("rules rule prefect sum", ["| rule | Prefect |", "| --- | --- |", "| all_done | - |"]),
        ("rules dagster n where 'upstreams=failed, failed'", ["| Dagster | n |", "| --- | --- |", "| ran | 1,500 |"]),
    ],
)  # fmt: skip
def test_a_table_is_made_as_asked(data: Path, words: str, lines: list[str]) -> None:
    assert tables.table(words).splitlines() == lines


def test_constructs_are_counted_over_the_rows_that_ran(data: Path) -> None:
    rows = [
        {"expected": "ran", "dagster": dagster, "native": {"dagster": how}}
        for dagster, how in [("ran", "native"), ("skipped", "emulated"), ("ran", "emulated"), (None, "native")]
    ]
    (data / "rules.json").write_text(json.dumps(rows))
    asked: dict[str, dict[str, dict[str, str]]] = {"rules": {"dagster": {}}, "without_a_page": {"dagster": {}}}
    (data / "asked.json").write_text(json.dumps(asked))
    (data.parent / "rules.md").touch()
    assert tables.constructs().splitlines() == [
        "| question | Dagster |",
        "| --- | --- |",
        "| [rules](rules.md) | emulated 2, native 1 (2 of 3 as expected) |",
    ]


@pytest.mark.parametrize("words", ["rules rule nonsense", "rules rule where rule=none"])
def test_a_table_of_nothing_is_an_error(data: Path, words: str) -> None:
    with pytest.raises((LookupError, ValueError), match=r"rules\.json"):
        tables.table(words)


def test_where_data_comes_from_is_one_line(data: Path) -> None:
    said = "2 rows ([data](data/events.json)), with Airflow 3.3.2, Dagster 3.3.2, on 2 cores"
    assert tables.observed("events") == f"*Observed by `make guide`: {said}.*\n"


CODE = """
import x

LIMIT = 3

# region both
@x
async def f():
    pass


class A:
    def f(self):
        return 1
# endregion
"""


def test_code_is_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "any.py"
    path.write_text(CODE)
    assert source.shown(path, "f") == "@x\nasync def f():\n    pass\n"
    assert source.shown(path, "A.f") == "def f(self):\n    return 1\n"
    assert source.shown(path, "LIMIT", "f").startswith("LIMIT = 3\n\n\n@x\n")
    assert source.shown(path, "both").startswith("@x\nasync") and source.shown(path, "both").endswith("return 1\n")
    assert source.shown(path) == CODE.strip() + "\n"
    with pytest.raises(LookupError, match="'g'"):
        source.shown(path, "g")


def test_a_part_that_is_wrong_is_named(tmp_path: Path) -> None:
    page = ROOT / "docs" / "guide" / "any.md"
    with pytest.raises(ValueError, match=r"docs/guide/any\.md: <!-- code: core/none\.py f -->: FileNotFoundError"):
        pages.made(page, "code", "core/none.py f")
    with pytest.raises(ValueError, match="no function, class, variable or region 'nope'"):
        pages.made(page, "code", "core/errors.py nope")


def test_a_part_without_an_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "any.md"
    page.write_text("<!-- table: a b -->\n<!-- table: c d -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="<!-- table: a b --> has no <!-- end -->"):
        pages.rewritten(page)


def test_code_of_an_orchestrator_says_whose_it_is() -> None:
    page = ROOT / "docs" / "guide" / "any.md"
    text = pages.code(page, "prefect_impl/flows.py ingest_month")
    assert text.startswith("**Prefect**: [prefect_impl/flows.py](../../prefect_impl/flows.py)\n\n```python\n@task(")
    assert pages.code(page, "core/month.py Month").startswith("[core/month.py](../../core/month.py)\n")


def test_pages_that_are_not_written_yet_are_not_linked(tmp_path: Path) -> None:
    (tmp_path / "dates.md").write_text("<!-- x -->\n# Dates: which month?\n\n## More\n")
    assert pages.see(tmp_path / "any.md", "values dates dates") == "- [Dates: which month?](dates.md)\n"


PRINTED = """\x1b[1mcreated (UTC)\x1b[0m        state    seconds  run
2026-11-29 21:05:45  success  29.8     5d9f1788-aea3-4701-834d-10e3d69075e2
2026-11-29 21:05:45  success  29.8     plain-20261129T210545.491468-2024-01
plain: 3 success in 67.8 s with airflow 3.3.2
http://127.0.0.1:30579/runs and {folder}/published
"""
SHOWN = """\
created (UTC)        state    seconds  run
...                  success  ...      ...
...                  success  ...      plain-...-2024-01
plain: 3 success in ... s with airflow 3.3.2
http://127.0.0.1:.../runs and published"""


def test_what_differs_from_run_to_run_is_not_recorded(tmp_path: Path) -> None:
    assert commands.masked(PRINTED.format(folder=tmp_path), tmp_path) == SHOWN


def test_a_command_runs_with_all_that_it_needs_in_order() -> None:
    assert [each.name for each in commands.chosen(["republished"])] == ["bad_month", "only_failed", "republished"]
    assert len({each.name for each in commands.COMMANDS}) == len(commands.chosen([]))


def test_a_command_that_fails_is_recorded_with_its_exit_code(tmp_path: Path) -> None:
    failing = commands.Command("any", "echo out; echo 'triptych: no such month' >&2; echo noise >&2; exit 1", code=1)
    assert commands.run(failing, tmp_path) == "out\ntriptych: no such month\n(exit code 1)"


def test_what_a_command_printed_that_ended_in_another_way_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(commands.Unexpected, match="exit code 3: it broke"):
        commands.run(commands.Command("any", "echo it broke; exit 3"), tmp_path)


@pytest.mark.parametrize("orchestrator", ["dagster", "prefect"])
def test_the_object_store_of_airflow_is_asked_of_no_other(orchestrator: str) -> None:
    # Without a bench: nothing can be asked.
    asking = Asking(None, orchestrator)  # type: ignore[arg-type]
    assert list(values.ask(asking, values.STORED)) == []
