"""The generated parts of pages that are otherwise written by hand: ``python -m benchmarks.harness.report`` writes them.

Such a part stands between ``<!-- NAME: generated -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from benchmarks.harness import measure, source
from benchmarks.harness.markdown import table
from benchmarks.orchestrators.page import costs
from core import settings
from tests.faults.database.page import by_trouble
from tests.faults.drills.page import by_component
from tests.faults.drills.pair_page import summary

ROOT = settings.ROOT

_PART = re.compile(r"(<!-- (\w+): ([^\n]+?) -->\n)((?:(?!<!-- ).)*)(<!-- end -->)", re.DOTALL)

Made = Callable[[str, str], str]
"""What makes a part: from its name and what stands behind the colon to its text."""


def rewritten(text: str, made: Made) -> str:
    """Return the page `text` with each of its generated parts as it should be now."""
    return _PART.sub(lambda found: f"{found[1]}{made(found[2], found[3])}{found[5]}", text)


def outside(text: str) -> str:
    """Return what is written by hand: the page without its generated parts."""
    return _PART.sub("", text)


def made(name: str, _: str) -> str:
    """Return the part `name` of `PAGES`."""
    return PARTS[name]()


def kills() -> str:
    """Return the sentence on what random kills did, to this project and to the usual pattern."""
    found = measure.read("soak", measure.FAULT_RESULTS)
    usual = found["contrast"]
    return (
        f"**After {found['kills']:,} random kills of its loaders, {found['lost_rows']} rows were lost and "
        f"{found['extra_rows']} loaded twice.** The pattern that most pipelines use (delete the month by date, then "
        f"append) lost {usual['without_kills']['lost_rows']} rows without a kill, and after {usual['kills']} kills "
        f"{usual['extra_rows']} rows were there twice ([how](docs/faults.md)).\n"
    )


def choice() -> str:
    """Return the table of what each orchestrator costs, and what it can do."""
    head, lines = costs(*(measure.read(name, measure.RESULTS) for name in ("backfill", "footprint")))
    listed = (ROOT / "docs" / "capabilities.md").read_text()
    # Its columns are: capability, meaning, and one for each orchestrator, in the order of `costs`. A mode of our own
    # command is nothing to choose an orchestrator by, and no figure is of it.
    does = re.findall(r"^\| `(?!one_run`)\w+` \| (.+?) \| ((?:yes|no)(?: \| (?:yes|no))*) \|$", listed, re.MULTILINE)
    return table(head, [*lines, *([meaning.rstrip("."), *cells.split(" | ")] for meaning, cells in does)])


def failures() -> str:
    """Return the table of what becomes of a backfill when a component dies, by component and orchestrator."""
    if not (measure.RESULTS / "drills.json").exists():
        return "The drills have not been carried out yet: `make drills`.\n"
    return by_component(measure.read("drills", measure.RESULTS)["rows"])


def database() -> str:
    """Return the table of what becomes of a backfill in each trouble of the database, by trouble and orchestrator."""
    if not (measure.RESULTS / "database.json").exists():
        return "The drills have not been carried out yet: `make database`.\n"
    return by_trouble(measure.read("database", measure.RESULTS)["rows"])


def pairs() -> str:
    """Return the table of what two of everything do when one of them dies."""
    if not (measure.RESULTS / "pairs.json").exists():
        return "These drills have not been carried out yet: `make pairs`.\n"
    return summary(measure.read("pairs", measure.RESULTS)["rows"])


def step(path: str, name: str) -> Callable[[], str]:
    """Return a part that shows the function `name` of a file, with its decorators."""

    def part() -> str:
        return f"```python\n{source.shown(ROOT / path, name)}```\n"

    return part


def variables() -> str:
    """Return the variables that `core.settings` reads, with meaning and default, from the table at its top."""
    rows = [line for line in (settings.__doc__ or "").splitlines() if line.startswith("| ")]
    cells = [[cell.strip().replace("``", "`") for cell in row.strip("|").split("|")] for row in rows[1:]]
    lines = [f"| `{name}` | {meaning} | {default} |" for name, meaning, default in cells]
    return "\n".join(["| variable | meaning | default |", "|---|---|---|", *lines, ""])


PARTS: Mapping[str, Callable[[], str]] = {
    "kills": kills,
    "choice": choice,
    "failures": failures,
    "database": database,
    "pairs": pairs,
    "airflow_step": step("airflow_impl/dags/taxi_pipeline.py", "ingest_month"),
    "dagster_step": step("dagster_impl/defs/raw.py", "raw_trips"),
    "prefect_step": step("prefect_impl/flows.py", "ingest_month"),
    "variables": variables,
}
"""Every generated part by its name."""

PAGES = (ROOT / "README.md", ROOT / "docs" / "configuration.md")
"""The pages that have such parts."""
