"""The pages below docs/ that come from results: ``python -m benchmarks.report``. They are never edited by hand.

Of results in another folder than the repository's (``--folder``), the pages are written beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import digest_race, load_page, measure, soak_page, strategies_page, transform_page
from core.settings import ROOT

PAGES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "digest": ("docs/benchmarks/digest.md", digest_race.page),
    "load": ("docs/benchmarks/load.md", load_page.page),
    "growth": ("docs/benchmarks/load-strategies.md", lambda found: strategies_page.page(found, found.get("claims"))),
    "soak": ("docs/benchmarks/soak.md", soak_page.page),
    "transform": ("docs/benchmarks/transform.md", transform_page.page),
}
"""Name of the results -> the page, relative to the checkout, and what renders it."""

PARTS = {"claims": "growth", "kill_points": "soak"}
"""Results without a page of their own -> those on whose page they are, under their own name."""


def render(name: str, results: Path = measure.RESULTS) -> str:
    """The page of one benchmark."""
    found = measure.read(name, results)
    parts = [part for part, whole in PARTS.items() if whole == name and (results / f"{part}.json").exists()]
    return PAGES[name][1](found | {part: measure.read(part, results) for part in parts})


def main(argv: list[str] | None = None) -> int:
    """Write the page of every benchmark that has results."""
    parser = argparse.ArgumentParser(prog="benchmarks.report", description="Write the pages that come from results.")
    measure.folder_option(parser)
    results: Path = parser.parse_args(argv).folder
    for name, (published, _) in PAGES.items():
        if (results / f"{name}.json").exists():
            page = ROOT / published if results == measure.RESULTS else results / Path(published).name
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(render(name, results))
            print(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
