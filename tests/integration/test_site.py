"""The site of `make site`: every page, no dead link, and nothing that is loaded from another host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from benchmarks.harness import site
from tests.browser import chromium

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
"""What a browser loads without being asked, by element: the attribute with its address."""


class Addresses(HTMLParser):
    """The addresses in a page: what it loads, and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if address := given.get(LOADED.get(tag, "")):
            self.loaded.append(address)
        if tag == "a" and (address := given.get("href")):
            self.linked.append(address)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site."""
    return site.build(tmp_path_factory.mktemp("site")).parent


def html(folder: Path) -> Iterator[tuple[Path, Addresses]]:
    for path in sorted(folder.rglob("*.html")):
        yield path, Addresses(path.read_text())


def test_every_page_is_in_the_site(built: Path) -> None:
    names = {page.with_suffix(".html") for page in site.pages()}
    indexes = {name.with_name("index.html") if name.stem == "README" else name for name in names}
    assert len(indexes) >= 40
    assert [str(name) for name in indexes if not (built / name).exists()] == []


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    loaded = [(path.name, address) for path, page in html(built) for address in page.loaded]
    styles = [(path.name, found) for path in built.rglob("*.css") for found in outside(path.read_text())]
    assert len(loaded) > 100
    assert [each for each in loaded if not urlsplit(each[1]).scheme == urlsplit(each[1]).netloc == ""] == []
    assert styles == []


def outside(style: str) -> list[str]:
    """Return the addresses on other hosts that a style sheet loads."""
    return re.findall(r"(?:url\(|@import )['\"]?((?:https?:)?//[^'\")\s]+)", style)


def test_every_link_within_the_site_leads_to_a_page(built: Path) -> None:
    dead = []
    for path, page in html(built):
        for link in page.linked:
            parts = urlsplit(link)
            is_ours = not parts.scheme and parts.path and path.name != "404.html"
            if is_ours and not (path.parent / unquote(parts.path)).is_file():
                dead.append((str(path.relative_to(built)), link))
    assert dead == []


@pytest.mark.parametrize("link", ["nothing.md", "core/nothing.py", "#no-such-heading"])
def test_a_dead_link_ends_the_build(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "ROOT", tmp_path / "checkout")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "README.md").write_text(f"# Any\n\n[a]({link})\n")
    with pytest.raises(site.SiteError, match="does not exist"):
        site.build(tmp_path / "site")


def test_a_file_and_a_folder_that_a_page_links_to_have_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "ROOT", tmp_path / "checkout")
    (tmp_path / "checkout" / "core").mkdir(parents=True)
    (tmp_path / "checkout" / "core" / "any.py").write_text("x = '<&>'\n")
    (tmp_path / "checkout" / "README.md").write_text("# Any\n\n[code](core/any.py#L1) [folder](core/)\n")
    home = site.build(tmp_path / "site")
    assert Addresses(home.read_text()).linked.count("core/any.py.html#L1") == 0
    assert "&lt;&amp;&gt;" in (home.parent / "core" / "any.py.html").read_text()
    assert "<code>any.py</code>" in (home.parent / "core" / "index.html").read_text()


def test_the_links_of_a_page_that_is_html_already_lead_to_pages() -> None:
    links = [
        "#part",
        "guide",
        "guide/values.md",
        "../README.md",
        "../airflow_impl/README.md",
        "../Makefile",
        "pictures/a.png",
    ]
    made = site.led_to_pages("".join(f'<a href="{link}">' for link in links), Path("docs/report.html"))
    assert Addresses(made).linked == [
        "#part", "guide/index.html", "guide/values.html", "../index.html", "../airflow_impl/index.html",
        "../Makefile.html", "pictures/a.png",
    ]  # fmt: skip


CODE = "<!-- code: {0}_impl/any.py f -->\n**{1}**: [{0}_impl/any.py](x)\n\n```python\nf(1)\n\nf(2)\n```\n<!-- end -->\n"


def test_code_of_several_orchestrators_becomes_tabs() -> None:
    page = f"Before.\n\n{CODE.format('a', 'A')}\n{CODE.format('b', 'B')}{CODE.format('b', 'B')}\nAfter.\n"
    shown = site.dialect(page)
    assert re.findall(r'^=== "(.)"$', shown, re.MULTILINE) == ["A", "B"]
    assert shown.count("    ```python\n    f(1)\n\n    f(2)\n    ```\n") == 3
    assert site.dialect(CODE.format("a", "A")) == CODE.format("a", "A")


def test_lists_are_written_as_the_generator_reads_them() -> None:
    assert site.dialect("Text:\n- a\n- b\n  more\n") == "Text:\n\n- a\n- b\n    more\n"
    assert site.dialect("```\nx\n- a\n  b\n```\n") == "```\nx\n- a\n  b\n```\n"


@pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING)
def test_it_is_read_and_searched_from_the_folder_without_a_network(built: Path) -> None:
    with chromium.browser() as context, chromium.visit(context, {}) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((built / "docs" / "guide" / "index.html").as_uri())
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").fill("fencing token")
        page.get_by_role("option").filter(has_text="Glossary").first.click()
        page.wait_for_url(re.compile("glossary"))
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
