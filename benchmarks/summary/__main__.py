"""Write docs/report.html alone: ``python -m benchmarks.summary``. `make report` writes every generated page."""

from __future__ import annotations

import sys

from benchmarks.harness.report import SUMMARY
from benchmarks.summary.page import published
from core.settings import ROOT


def main() -> int:
    """Write the page."""
    path = ROOT / SUMMARY
    path.write_text(published())
    print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
