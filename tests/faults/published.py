"""Tiny published months in several versions, and a site that serves them, for kill points and the soak."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.extract import MANIFEST
from core.month import Month
from core.settings import ROOT


def write(folder: Path, month: Month, seed: int, rows: int) -> Path:
    """Publish the first `rows` rows of a sample month atomically. Traps such as other months' rows come first.

    It uses numpy and Arrow, so do not call it in a process that forks later.
    """
    import pyarrow.parquet as pq

    from core.extract import sample

    path = folder / sample.file_name(month)
    half = path.with_name(f".{path.name}")
    sample.write_month(half, month, seed, sample.FEWEST_ROWS)
    pq.write_table(pq.read_table(half).slice(0, rows), half)
    half.replace(path)
    return path


def write_zones(folder: Path, rows: int) -> None:
    """Publish the zone lookup's first `rows` zones."""
    from core.extract import sample

    path = folder / sample.ZONES
    sample.write_zones(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + rows]))


def write_manifest(folder: Path) -> None:
    """Publish the SHA-256 of each file in `folder`, as `sha256sum` writes them."""
    names = sorted(path.name for path in folder.iterdir())
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / MANIFEST).write_text("".join(lines))


_SITE = """
import sys
from pathlib import Path
from tests.publisher import Publisher
with Publisher(Path(sys.argv[1])) as site:
    print(site.url, flush=True)
    for line in sys.stdin:
        verb, name = line.split()
        getattr(site, verb)(name)
        print(verb, flush=True)
"""


class Site:
    """Files that a process of its own serves over http. `url` is a value for ``--source``."""

    def __init__(self, url: str, asks: IO[str], answers: IO[str]) -> None:
        self.url, self._asks, self._answers = url, asks, answers

    def cut(self, month: Month) -> None:
        """Cut the next transfer of a month's file in the middle, and no other one."""
        for verb in ("clear", "cut"):
            self._asks.write(f"{verb} {month}\n")
            self._asks.flush()
            assert self._answers.readline().strip() == verb


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Serve `folder` over http until the block ends."""
    words = [sys.executable, "-c", _SITE, str(folder)]
    # A session of its own, because Ctrl-C is not meant for it.
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield Site(process.stdout.readline().strip(), process.stdin, process.stdout)
        finally:
            process.stdin.close()
