"""The page docs/conformance.md, from the cases and the published results: ``python -m tests.conformance.page``.

Nothing that was not run is on it: a cell without a result says so.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.harness import markdown
from core.settings import ROOT
from tests.conformance.cases import ORCHESTRATORS, VERDICTS, Case, cases, relative
from tests.conformance.cells import PUBLISHED, Cell, Cells, log_of, read

PAGE = ROOT / "docs" / "conformance.md"

NOT_RUN = "not run"

MARKS: Mapping[str, str] = {"right": "✓ right", "wrong": "✗ **wrong**"}
"""How a verdict stands in the table; others as they are."""

HEAD = """<!-- Generated from {results} by `python -m tests.conformance.page`. Do not edit. -->

# Reported bugs, reproduced on all three

A bug that somebody reported of one orchestrator is tried on all of them, on their own services, with the code that a
user of each would write. Each cell leads to what was observed, the log, the code, the version and the command that runs
it again. It is about the cases below and nothing else: there is no score, and none can be made of it.

## Limits

- **One machine, one version each:** {versions}. A later version may answer otherwise; `triptych conformance` asks it.
- **These settings:** a run's process is started as shipped, and the polling intervals are shorter than shipped,
  as in the rest of this project. Each cell of the [results]({results}) has them by name.
- **Our code.** It was written for this project, and no author of the three has reviewed it: an expert in one may write
  it better. Each file has {lines} lines or fewer, so that it can be read: [correct us](../CONTRIBUTING.md).
- **Our choice of cases.** Reports are found where they are reported; a tool with more of them here is not worse.
- **A verdict is about a case.** "Right" says that this code on this day had the right answer, and no more.

| verdict | meaning |
|---|---|
{verdicts}

Verdicts are computed from what was observed. For each, the case says beforehand which one is expected and why, and a
test fails on any other, also on a better one.

## The cases

```
triptych conformance                                   # ask all of them, of all three
triptych conformance --json new.json --compare docs/{results}   # what another version changes
```
"""

LONGEST = 50
"""How many lines a file of a case's code may have, with imports, docstrings and empty lines."""


def page(known: Mapping[str, Case], cells: Cells) -> str:
    """Return the page."""
    versions = {tool: sorted({cell.version for cell in cells.values() if cell.tool == tool}) for tool in ORCHESTRATORS}
    head = HEAD.format(
        results=os.path.relpath(PUBLISHED, PAGE.parent),
        versions=", ".join(f"{ORCHESTRATORS[tool]} {', '.join(found) or NOT_RUN}" for tool, found in versions.items()),
        verdicts="\n".join(f"| {verdict} | {meaning} |" for verdict, meaning in VERDICTS.items()),
        lines=LONGEST,
    )
    themes = sorted({case.theme for case in known.values()})
    by_theme = [(theme, [case for case in known.values() if case.theme == theme]) for theme in themes]
    overview = [line for theme, some in by_theme for line in rows(theme, some, cells)]
    table = markdown.table(["theme", "case", *ORCHESTRATORS.values()], overview, align="---")
    return "\n".join([head, table, *(part(case, cells) for _, some in by_theme for case in some)])


def rows(theme: str, some: list[Case], cells: Cells) -> Iterator[list[str]]:
    """Yield the lines of the table for one theme."""
    for case in some:
        marks = [mark(case, tool, cells.get((case.name, tool))) for tool in ORCHESTRATORS]
        yield [theme, f"[{case.question}](#{case.name})", *marks]


def mark(case: Case, tool: str, cell: Cell | None) -> str:
    """Return a cell of the table: the verdict, with a link to what was observed."""
    if cell is None:
        return NOT_RUN
    often = f", {cell.k} of {cell.n}" if cell.n > 1 else ""
    return f"[{MARKS.get(cell.verdict, cell.verdict)}{often}](#{case.name}-{tool})"


def part(case: Case, cells: Cells) -> str:
    """Return what the page says of a case."""
    facts = [
        f'<a id="{case.name}"></a>\n\n## {case.question}',
        f"Reported as [{case.report}]({case.address}). **Right:** {case.right_answer}",
        *([f"**Differs from the report:** {case.differs}"] if case.differs else []),
        *([f"**Asked {case.repeat} times:** {case.why_repeat}"] if case.repeat > 1 else []),
        f"The predicate, and how it is asked: [case.py]({link(case.folder / 'case.py')}).",
    ]
    return "\n\n".join([*facts, *(of_tool(case, tool, cells.get((case.name, tool))) for tool in ORCHESTRATORS)])


def of_tool(case: Case, tool: str, cell: Cell | None) -> str:
    """Return what the page says of one cell."""
    code, expected = case.code(tool), case.expected[tool]
    shown = f"[code]({link(code)})" if code else f"no code: nothing in its package is named `{expected.absent}`"
    title = f'<a id="{case.name}-{tool}"></a>\n\n### {ORCHESTRATORS[tool]}: {cell.words if cell else NOT_RUN}\n'
    why = (
        f"{expected.reason} [Documented here]({expected.documentation})." if expected.documentation else expected.reason
    )
    command = f"```\ntriptych conformance {case.name} --on {tool}\n```\n"
    if cell is None:
        return f"{title}\n{shown}\n\n{command}"
    when = f"{cell.version}, {cell.at[:10]}, {cell.seconds:.0f} s"
    log = f"[log]({link(log_of(PUBLISHED, case.name, tool))})"
    observed = "\n".join(f"{count}x {text}" if cell.n > 1 else text for text, count in counted(cell).items())
    facts = f"```json\n{observed}\n```\n" if observed else ""
    return f"{title}\n{why}\n\n{when}: {shown}, {log}\n\n{facts}\n{command}"


def counted(cell: Cell) -> dict[str, int]:
    """Return what was observed as JSON, and how often each."""
    found: dict[str, int] = {}
    for each in cell.observed:
        text = json.dumps(each)
        found[text] = found.get(text, 0) + 1
    return found


def link(path: Path) -> str:
    """Return the address of a file from the page."""
    return os.path.relpath(path, PAGE.parent)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(cases(), read(PUBLISHED)))
    print(relative(PAGE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
