"""The pages of the guide: ``python -m tests.questions.pages`` writes their generated parts.

Pages below docs/guide are written by hand, but for the parts between a line that asks and ``<!-- end -->``:

    <!-- code: PATH [NAME...] -->       code of the repository (`benchmarks.harness.source`), with a link to its file;
                                        parts that follow one another directly are tabs on the site
    <!-- table: DATA COLUMN... -->      a table of docs/guide/data (`tests.questions.tables`)
    <!-- observed: DATA -->             one line: how many rows, with which versions, on which machine
    <!-- constructs: all -->            which questions each orchestrator answers with constructs of its own
    <!-- output: NAME -->               a command and what it printed (`tests.questions.commands`)
    <!-- see: PAGE... -->               a list of links to those of these pages that are written
    <!-- NAME: generated -->            a part that other pages have too (`benchmarks.harness.parts`)
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.harness import parts, source
from core.settings import ROOT
from tests.questions import commands, tables

GUIDE = ROOT / "docs" / "guide"

NOT_RECORDED = "(not recorded yet: python -m tests.questions.commands)"

LANGUAGES = {".py": "python", ".yml": "yaml", ".yaml": "yaml", ".sql": "sql", ".toml": "toml"}


def code(page: Path, words: str) -> str:
    """Return a block of code under a link to its file, in bold when the file is one orchestrator's."""
    path, *names = words.split()
    link = f"[{path}]({os.path.relpath(ROOT / path, page.parent)})"
    whose = next((title for name, title in tables.ORCHESTRATORS.items() if name in re.split(r"[/_.]", path)), None)
    caption = f"**{whose}**: {link}" if whose else link
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"{caption}\n\n```{language}\n{source.shown(ROOT / path, *names)}```\n"


def output(name: str) -> str:
    """Return a command and what it printed, as in a terminal. Raise `LookupError` for one that is not declared."""
    command = next((each for each in commands.COMMANDS if each.name == name), None)
    if command is None:
        raise LookupError(f"tests.questions.commands declares no command {name!r}")
    printed = commands.recorded().get(name, NOT_RECORDED)
    typed = "\n".join(f"$ {line}" for line in command.shown.splitlines())
    return f"```console\n{typed}\n{printed}\n```\n"


def see(page: Path, words: str) -> str:
    """Return a list of those of the named pages that are written; `questions` names that of every question."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/__init__.py"))
    names = [each for name in words.split() for each in (folders if name == "questions" else [name])]
    found = [each for name in dict.fromkeys(names) if (each := page.with_name(f"{name}.md")).exists()]
    return "".join(f"- [{title(each)}]({each.name})\n" for each in found)


def title(page: Path) -> str:
    """Return the heading of a page."""
    return page.read_text().partition("# ")[2].partition("\n")[0]


KINDS: Mapping[str, Callable[[Path, str], str]] = {
    "code": code,
    "table": lambda _, words: tables.table(words),
    "observed": lambda _, words: tables.observed(words),
    "constructs": lambda *_: tables.constructs(),
    "output": lambda _, words: output(words),
    "see": see,
}
"""What makes a part, by the name that asks for it."""


def made(page: Path, kind: str, words: str) -> str:
    """Return one generated part of a page. Raise `LookupError` or `ValueError`, which name page and part."""
    try:
        # A part that README.md or another page has too
        return parts.made(kind, words) if words == "generated" else KINDS[kind](page, words)
    except (LookupError, ValueError, OSError, SyntaxError) as error:
        message = f"{page.relative_to(ROOT)}: <!-- {kind}: {words} -->: {type(error).__name__}: {error}"
        raise ValueError(message) from error


def rewritten(page: Path) -> str:
    """Return the page with its generated parts as they should be now."""
    text = page.read_text()
    if stray := re.search(rf"<!-- (?:{'|'.join(KINDS)}): .*? -->", parts.outside(text)):
        raise ValueError(f"{page.relative_to(ROOT)}: {stray[0]} has no <!-- end -->")
    return parts.rewritten(text, partial(made, page))


def asked(text: str, kind: str) -> list[str]:
    """Return what a page asks for of one kind: the words behind the colon."""
    return re.findall(rf"^<!-- {kind}: (.+?) -->$", text, re.MULTILINE)


def pages() -> list[Path]:
    """Return every page of the guide."""
    return sorted(GUIDE.glob("*.md"))


def main() -> int:
    """Write every page."""
    for page in pages():
        page.write_text(rewritten(page))
        print(page.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
