"""The pages as a web site that needs no network: ``python -m benchmarks.harness.site`` builds it (`make site`).

README.md, every page below docs/ and the README of each part become one site below the state folder, with the same
paths as in the repository. A file that a page links to, code or data, becomes a page that shows it, so that no link
leaves the site; a folder becomes a list of its files. A dead link ends the build.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from core.settings import ROOT, settings

CONFIG = ROOT / "docs" / "site"
"""What the generator is told, and what it adds to its theme."""

PICTURES = {".svg", ".png"}

COPIED = {*PICTURES, ".html"}
"""What the site has as it is: pictures, and the page of all results, which needs no generator but for its links."""

LANGUAGES = {"Makefile": "make", ".yml": "yaml", ".py": "python", ".json": "json", ".toml": "toml", ".sql": "sql"}
"""How to highlight a file that a page links to, by its name or its ending; others are plain text."""

SECTIONS = {
    "Guide": ["docs/guide/README.md", "docs/guide/*.md", "docs/dictionary.md", "docs/glossary.md"],
    "Adapters": ["airflow_impl/README.md", "dagster_impl/README.md", "prefect_impl/README.md"],
    "Proof": [
        "docs/claims.md",
        "docs/conformance.md",
        "docs/parity.md",
        "docs/faults.md",
        "docs/security.md",
        "docs/capabilities.md",
    ],
    "Benchmarks": ["docs/benchmarks/README.md", "docs/benchmarks/*.md"],
    "Decisions": ["docs/decisions/*.md"],
    "Reference": ["docs/architecture.md", "docs/configuration.md", "docs/*.md", "docs/**/*.md", "*.md", "*/*.md"],
}
"""The navigation, behind the home page. A page is in the first section that names it."""

_FENCE = re.compile(r"^( *)(```+)", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?")
_HREF = re.compile(r'href="([^"#]+)(#[^"]*)?"')
_CODE = re.compile(r"<!-- code: [^\n]+ -->\n(.*?)<!-- end -->\n?", re.DOTALL)
_RUN = re.compile(r"(?:<!-- code: [^\n]+ -->\n(?:(?!<!-- ).)*<!-- end -->\s*){2,}", re.DOTALL)


class SiteError(Exception):
    """Why the site was not built: the generator's own words."""


def pages() -> list[Path]:
    """Return every page that is written or generated, by its path in the checkout; the home page is the first."""
    patterns = ("README.md", "*.md", "docs/**/*.md", "[!.]*/README.md")
    found = [path.relative_to(ROOT) for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [*dict.fromkeys(found)]


def stage(folder: Path) -> None:
    """Copy all pages to `folder` in the generator's dialect, with all that they link to, and its configuration."""
    found = pages()
    for page in found:
        _write(folder / "pages" / page, dialect((ROOT / page).read_text()))
    linked_to = {target for page in found for target in targets(page)}
    linked_to |= {target for page in linked_to if page.suffix == ".html" for target in targets(page)}
    for target in sorted(linked_to - set(found)):
        _stage_target(target, folder / "pages")
    for page in found:
        path = folder / "pages" / page
        path.write_text(linked(path.read_text(), page))
    for asset in ("triptych.css", "iframe-worker.js"):
        _write(folder / "pages" / "docs" / "site" / asset, (CONFIG / asset).read_text())
    config = (CONFIG / "zensical.toml").read_text()
    _write(folder / "zensical.toml", config.replace("nav = []", f"nav = {navigation(found)}", 1))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def targets(page: Path) -> Iterator[Path]:
    """Yield what a page links to in the checkout, by its path there. Raise `SiteError` when it is not there."""
    pattern = _HREF if page.suffix == ".html" else _LINK
    for link, _ in pattern.findall((ROOT / page).read_text()):
        path = (ROOT / page.parent / link).resolve()
        if "://" not in link:
            if not path.exists() or not path.is_relative_to(ROOT):
                raise SiteError(f"{page}: {link} does not exist")
            yield path.relative_to(ROOT)


def _stage_target(target: Path, folder: Path) -> None:
    """Make a linked file or folder a page, unless it is copied as it is, or has a page already."""
    source = ROOT / target
    if source.is_dir():
        if not (folder / target / "README.md").exists():
            _write(folder / target / "README.md", listing(source))
    elif source.suffix == ".html":
        _write(folder / target, led_to_pages(source.read_text(), target))
    elif source.suffix in COPIED:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / target)
    else:
        language = LANGUAGES.get(source.name, LANGUAGES.get(source.suffix, "text"))
        _write(folder / f"{target}.md", _unlisted(target) + f"````{language}\n{source.read_text().strip()}\n````\n")


def listing(folder: Path) -> str:
    """Return the page of a folder that has no README: the names of its files, or the pictures themselves."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return _unlisted(folder.relative_to(ROOT)) + "".join(f"- {_entry(path.relative_to(folder))}\n" for path in files)


def _entry(path: Path) -> str:
    if path.suffix == ".md":
        return f"[{path}]({path})"
    return f"{path}: ![{path}]({path})" if path.suffix in PICTURES else f"`{path}`"


def _unlisted(path: Path) -> str:
    """Return the head of a page that the search does not find."""
    return f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n# `{path}`\n\n"


def linked(text: str, page: Path) -> str:
    """Return the page with links to files and folders leading to the pages that show them."""

    def led(found: re.Match[str]) -> str:
        path = ROOT / page.parent / found[1]
        if "://" in found[1] or path.suffix in {".md", *COPIED}:
            return found[0]
        return f"]({found[1].rstrip('/')}/README.md" if path.is_dir() else f"]({found[1]}.md"

    return _LINK.sub(led, text)


def led_to_pages(text: str, page: Path) -> str:
    """Return a page that is HTML already with its links to files and folders leading to the site's pages."""

    def led(found: re.Match[str]) -> str:
        path, anchor = ROOT / page.parent / found[1], found[2] or ""
        if "://" in found[1] or path.suffix in COPIED:
            return found[0]
        if path.is_dir() or path.name == "README.md":
            return f'href="{PurePosixPath(found[1].removesuffix("README.md"), "index.html")}{anchor}"'
        return f'href="{found[1].removesuffix(".md")}.html{anchor}"'

    return _HREF.sub(led, text)


def dialect(text: str) -> str:
    """Return a page of GitHub's Markdown in the generator's: tabs, lists behind a blank line, indented by four."""
    return "\n".join(_lists(_RUN.sub(lambda run: tabs(run[0]), text).splitlines())) + "\n"


def tabs(run: str) -> str:
    """Return parts of code that follow one another as tabs: one for each orchestrator, or each file."""
    found: dict[str, list[str]] = {}
    for part in _CODE.findall(run):
        caption = re.match(r"(?:\*\*(\w+)\*\*: )?\[(.*?)\]", part)
        title = caption[1] or caption[2] if caption else "code"
        found.setdefault(title, []).extend(part.strip().splitlines())
    blocks = ["\n".join([f'=== "{title}"', "", *_indented(lines)]) for title, lines in found.items()]
    return "\n\n".join(blocks) + "\n\n"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" if line else "" for line in lines)


def _lists(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines with a blank one before each list, and four spaces where GitHub takes two or three."""
    fence, before = "", ""
    for line in lines:
        if found := _FENCE.match(line):
            fence = "" if fence else found[2]
        is_item = re.match(r"(?:[-*]|\d+\.) ", line)
        if is_item and not fence and before and not re.match(r"(?:[-*]|\d+\.) | ", before):
            yield ""
        yield re.sub(r"^ {2,3}(?=\S)", "    ", line) if not fence or line.startswith("   `") else line
        before = line


def navigation(found: Iterable[Path]) -> str:
    """Return the order of the pages, as the generator's configuration writes it."""
    home, *left = found
    sections = {"Home": [home]}
    for title, patterns in SECTIONS.items():
        sections[title] = [*dict.fromkeys(page for pattern in patterns for page in _in_order(pattern, left))]
        left = [page for page in left if page not in sections[title]]
    lines = [f"{{ {title} = {json.dumps([str(page) for page in named])} }}" for title, named in sections.items()]
    return f"[{', '.join(lines)}]"


def _in_order(pattern: str, found: Iterable[Path]) -> list[Path]:
    """Return the pages that a pattern names, in the order in which the README beside them links to them."""
    named = [page for page in found if page in {path.relative_to(ROOT) for path in ROOT.glob(pattern)}]
    readme = ROOT / Path(pattern).parent / "README.md"
    text = readme.read_text() if "*" not in str(readme) and readme.exists() else ""
    return sorted(named, key=lambda page: text.find(f"({page.name})") % (len(text) + 1))


def build(folder: Path) -> Path:
    """Build the site below `folder`, and return its home page. Raise `SiteError` at the first dead link."""
    shutil.rmtree(folder, ignore_errors=True)
    stage(folder)
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run([program, "build", "--strict"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SiteError(re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr).partition("Traceback")[0].strip())
    return folder / "html" / "index.html"


def main() -> int:
    """Build the site and say where it is."""
    try:
        print(f"open {build(settings().home / 'site')}")
    except SiteError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
