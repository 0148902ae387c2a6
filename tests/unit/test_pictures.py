"""The pictures of the terminal: how they are made, and those that are kept."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text

from core.lab.recording import COLUMNS, PICTURES, animated, drawn, looks
from core.settings import ROOT

NAMES = ("backfill.svg", "demo.svg", "parity.svg")
NAMESPACE = "http://www.w3.org/2000/svg"
PAGE = ROOT / "docs" / "terminal.md"


def texts(svg: str) -> list[str]:
    """Return the texts of an SVG, one for each stretch of a line that has one style."""
    found = ElementTree.fromstring(svg).iter(f"{{{NAMESPACE}}}text")
    return [text for each in found if (text := (each.text or "").replace("\xa0", " ").strip())]


def refers_outside(svg: str) -> bool:
    return bool(re.search(r"//|@import|@font-face|href|<image|<script", svg.replace(NAMESPACE, "")))


def test_the_end_of_a_command_is_drawn_as_text_with_colors() -> None:
    code = 'import shutil; print("\\x1b[1;33mbold\\x1b[0m <&>", shutil.get_terminal_size().columns)'
    *_, end = looks([sys.executable, "-c", code], {**os.environ, "COLUMNS": "", "TERM": "xterm-256color"})
    assert end.plain == f"bold <&> {COLUMNS}"
    svg = drawn(end, "x")
    assert texts(svg)[1:3] == ["bold", f"<&> {COLUMNS}"]
    assert re.search(r"\.x-r1 {[^}]*font-weight: bold }", svg)
    assert not refers_outside(svg)


def test_a_command_that_fails_makes_no_picture() -> None:
    with pytest.raises(SystemExit, match=r"ended with 3:\nno space"):
        list(looks([sys.executable, "-c", "print('no space'); raise SystemExit(3)"], os.environ))


def test_an_animation_shows_one_frame_at_a_time_and_then_holds_the_last() -> None:
    svg = animated([Text("one"), Text("two\nlines"), Text("three")])
    assert texts(svg)[1:] == ["one", "two", "lines", "three"]
    # 1.2 s each, and 6 s more for the last.
    assert re.findall(r"@keyframes (\w+) {(.*)}\n", svg) == [
        ("f0", "0.0% {visibility: visible} 12.5% {visibility: hidden}"),
        ("f1", "0% {visibility: hidden} 12.5% {visibility: visible} 25.0% {visibility: hidden}"),
        ("f2", "0% {visibility: hidden} 25.0% {visibility: visible}"),
    ]
    assert not refers_outside(svg)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_whole_small_and_refers_to_nothing_outside(name: str) -> None:
    svg = (PICTURES / name).read_text()
    shown = " ".join(texts(svg))
    assert all(orchestrator in shown for orchestrator in ("plain", "airflow", "dagster", "prefect"))
    assert "identical: 6 tables in 4 schemas" in shown or name == "backfill.svg"
    assert len(svg) < 150_000
    assert not refers_outside(svg)
    assert str(Path.home()) not in svg and str(ROOT) not in svg


def test_each_picture_is_on_the_page_about_the_terminal() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(pictures/([\w.]+)\)", PAGE.read_text())
    assert sorted(shown) == sorted(NAMES)
