"""The pages below docs/ that are generated from results: ``python -m benchmarks.harness.report``.

They are never edited by hand, and neither are the generated parts of other pages (`benchmarks.harness.parts`). With
``--folder``, results are read from another folder than the repository's, and the pages are written beside them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import measure, parts
from core.settings import ROOT


@dataclass(frozen=True)
class Page:
    """A page of one benchmark, by its path in the checkout."""

    path: str
    module: str
    """The module whose `page` renders it: a name, because the harness imports nothing that imports the harness."""
    results: Path = measure.RESULTS
    """Where the published results are."""
    part: str | None = None
    """Other results that are on the same page, if they exist; `page` finds them under this name."""


PAGES = {
    "load": Page("docs/benchmarks/load.md", "benchmarks.load.page"),
    "digest": Page("docs/benchmarks/digest.md", "benchmarks.digest.page"),
    "growth": Page("docs/benchmarks/load-strategies.md", "benchmarks.strategies.page", part="claims"),
    "transform": Page("docs/benchmarks/transform.md", "benchmarks.transform.page", part="year"),
    "backfill": Page("docs/benchmarks/orchestrators.md", "benchmarks.orchestrators.page"),
    "folklore": Page("docs/claims.md", "benchmarks.folklore.page"),
    "floor": Page("docs/benchmarks/floor.md", "benchmarks.orchestrators.floor_page"),
    "chains": Page("docs/benchmarks/chains.md", "benchmarks.orchestrators.chains_page"),
    "curves": Page("docs/benchmarks/curves.md", "benchmarks.orchestrators.curves_page"),
    "footprint": Page("docs/benchmarks/footprint.md", "benchmarks.orchestrators.footprint_page"),
    "database": Page("docs/benchmarks/database.md", "tests.faults.database.page"),
    "drills": Page("docs/benchmarks/drills.md", "tests.faults.drills.page", part="pairs"),
    "soak": Page("docs/faults.md", "tests.faults.page", measure.FAULT_RESULTS, part="kill_points"),
}
"""Every page by the name of its results."""

SUMMARY = "docs/report.html"
"""The one page for readers, of all results: `benchmarks.summary` renders it, and leaves out what was not measured."""


def _read(name: str, folder: Path | None) -> dict[str, Any]:
    page = PAGES[name]
    folder = folder or page.results
    result = measure.read(name, folder)
    if page.part and (folder / f"{page.part}.json").exists():
        result[page.part] = measure.read(page.part, folder)
    return result


def pictures(name: str, folder: Path | None = None) -> Mapping[str, str]:
    """Return the pictures beside the page of the results `name`, by file; most pages have none."""
    made = getattr(importlib.import_module(PAGES[name].module), "pictures", None)
    return made(_read(name, folder)) if made else {}


def render(name: str, folder: Path | None = None) -> str:
    """Return the page of the results `name`: the published ones, or those in `folder`."""
    text: str = importlib.import_module(PAGES[name].module).page(_read(name, folder))
    return text


def main(argv: list[str] | None = None) -> int:
    """Write every page that has results."""
    parser = argparse.ArgumentParser(prog="benchmarks.harness.report", description="Write the pages made from results.")
    parser.add_argument("--folder", type=Path, help="where the results are (default: the repository's)")
    folder: Path | None = parser.parse_args(argv).folder
    for name, page in PAGES.items():
        if ((folder or page.results) / f"{name}.json").exists():
            path = folder / Path(page.path).name if folder else ROOT / page.path
            path.write_text(render(name, folder))
            for file, drawn in pictures(name, folder).items():
                path.with_name(file).write_text(drawn)
            print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    path = folder / Path(SUMMARY).name if folder else ROOT / SUMMARY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(importlib.import_module("benchmarks.summary.page").published(folder))
    print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    if folder is None:
        for path in parts.PAGES:
            path.write_text(parts.rewritten(path.read_text(), parts.made))
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
