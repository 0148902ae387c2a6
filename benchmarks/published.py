"""Tiny published months in several versions, and a site that serves them: what kill points and the soak are run on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.month import Month
from core.settings import ROOT


def write(folder: Path, month: Month, seed: int, rows: int) -> Path:
    """Publish the first `rows` rows of a sample month, in one moment: traps such as months beside come first.

    Calls numpy and Arrow: do it in a process that is not forked from later.
    """
    import pyarrow.parquet as pq

    from core.lab import sample

    path = folder / sample.file_name(month)
    half = path.with_name(f".{path.name}")
    sample.write_month(half, month, seed, sample.FEWEST_ROWS)
    pq.write_table(pq.read_table(half).slice(0, rows), half)
    half.replace(path)
    return path


def write_zones(folder: Path, rows: int) -> None:
    """Publish the zone lookup's first `rows` zones."""
    from core.lab import sample

    path = folder / sample.ZONES
    sample.write_zones(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + rows]))


_SITE = """
import sys
from pathlib import Path
from tests.publisher import Publisher
with Publisher(Path(sys.argv[1])) as site:
    print(site.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve `folder` over http from a process of its own; give what ``--source`` takes."""
    words = [sys.executable, "-c", _SITE, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
