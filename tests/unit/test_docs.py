"""The commands and links in the documents work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from benchmarks.harness import parts
from core.lab.cli import app
from core.settings import ROOT

PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*_impl/*.md"), *ROOT.glob("dbt/*.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def code(page: Path) -> list[str]:
    """Return the lines of a page's code blocks, without the comments behind a #."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {match[1] for line in code(page) if (match := re.match(r"(?:\$ )?make ([a-z-]+)", line))}
    assert asked <= targets


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_command_lines_are_understood(page: Path) -> None:
    # It is a group: it has several commands.
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in code(page):
        if match := re.match(r"(?:\$ )?(?:\.venvs/lab/bin/)?triptych ([a-z].*)", line):
            verb, *words = shlex.split(re.split(r" [|>&]", match[1])[0])
            # Raises on an unknown command or option, or a missing value.
            commands[verb].make_context(verb, words)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page: Path) -> None:
    """A claim names its code and its test, so both must exist."""
    named = re.findall(
        r"`((?:core|dbt|tests|benchmarks|\w+_impl|\*_impl)/[\w./*-]+\.(?:py|sql|yml|yaml))`", page.read_text()
    )
    assert [name for name in named if not list(ROOT.glob(name)) and not name.startswith("mytool_")] == []


def test_every_danger_names_a_test() -> None:
    rows = re.findall(r"^\|.*\|.*\|.*\|.*\|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    dangers = [row for row in rows if not row.startswith(("| danger |", "|---"))]
    assert len(dangers) > 20
    assert [row for row in dangers if "`tests/" not in row.split("|")[4]] == []


def test_the_readme_gets_a_newcomer_going_by_line_25_and_ends_by_150() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert "make demo" in "\n".join(lines[:25])
    assert len(lines) <= 150


@pytest.mark.parametrize("page", parts.PAGES, ids=[page.name for page in parts.PAGES])
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert "generated -->" in text
    assert parts.rewritten(text, parts.made) == text, "run `.venvs/lab/bin/python -m benchmarks.harness.report`"


def test_configuration_lists_every_variable_that_is_read() -> None:
    read = {
        name
        for folder in ("core", "airflow_impl", "dagster_impl", "prefect_impl")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"(?:environ\.get\(|environ, )\"(TRIPTYCH_\w+|PG_BIN)\"", path.read_text())
    }
    assert len(read) >= 10
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in sorted(read) if f"| `{name}` |" not in text] == []


def test_the_dictionary_names_files_that_contain_the_word() -> None:
    page = ROOT / "docs" / "dictionary.md"
    terms = re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", page.read_text())
    assert len(terms) > 90
    assert [(term, path) for term, path in terms if term not in (page.parent / path).read_text()] == []
