"""A pipeline with other steps, registered from outside: the example's commands print what its page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.settings import ROOT

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "docs" / "examples" / "two_csvs"


def commands(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command of the page's console blocks, and the output that is shown below it."""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = each.partition("\n")
            yield command, output


def steady(output: str) -> str:
    """Return an output without what differs each time: seconds, the checkout's place, spaces at the end of a line."""
    text = re.sub(r"\d+\.\d s", "0.1 s", output).replace(f"{ROOT}/", "")
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def test_the_commands_of_the_page_print_what_it_shows(warehouse: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "TRIPTYCH_HOME": str(tmp_path / "state")}
    # No step of this pipeline calls dbt.
    env["TRIPTYCH_DBT"] = str(tmp_path / "none")
    exports, seen = "", []
    for command, shown in commands((EXAMPLE / "README.md").read_text()):
        if command.startswith("export "):
            exports += f"{command}\n"
            continue
        done = subprocess.run(
            ["bash", "-c", exports + command], cwd=ROOT, env=env, text=True, capture_output=True, timeout=120
        )
        assert steady(done.stdout) == steady(shown), f"$ {command}\n{done.stdout}{done.stderr}"
        seen.append(command)
    assert len(seen) == 3
    with psycopg.connect(warehouse) as connection:
        assert connection.execute("SELECT count(*) FROM copies.orders").fetchone() == (5,)
