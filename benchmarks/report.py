"""The pages below docs/ that come from results: ``python -m benchmarks.report``. They are never edited by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import digest_race, load_page, measure, soak_page, strategies_page, transform_page
from core.settings import ROOT

PAGES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "digest": ("docs/benchmarks/digest.md", digest_race.page),
    "load": ("docs/benchmarks/load.md", load_page.page),
    "growth": ("docs/benchmarks/load-strategies.md", strategies_page.render),
    "soak": ("docs/benchmarks/soak.md", soak_page.page),
    "transform": ("docs/benchmarks/transform.md", transform_page.page),
}
"""Name of the results -> the page, relative to the checkout, and what renders it."""

PARTS = {"claims": "growth", "kill_points": "soak"}
"""Results without a page of their own -> those on whose page they are."""


def render(name: str, results: Path = measure.RESULTS) -> str:
    """The page of one benchmark."""
    return PAGES[name][1](measure.read(name, results))


def main() -> int:
    """Write the page of every benchmark that has results."""
    for name, (page, _) in PAGES.items():
        if (measure.RESULTS / f"{name}.json").exists():
            (ROOT / page).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / page).write_text(render(name))
            print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
