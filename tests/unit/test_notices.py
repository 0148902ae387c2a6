"""Notices count while their author lives, and a command waits for the one that ends everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.lab import leases, notices

ENDS = """
import sys
from pathlib import Path
from core.lab import notices
with notices.ending(Path(sys.argv[1])):
    print("ends", flush=True)
    sys.stdin.read()
"""


def test_a_command_waits_for_the_one_that_ends_everything(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENDS, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as down:
        assert down.stdin and down.stdout
        assert down.stdout.readline() == "ends\n"
        told: list[str] = []

        def let_it_end(line: str) -> None:
            told.append(line)
            down.communicate()

        notices.wait_for_down(tmp_path, let_it_end)
    assert told == [f"waiting for `triptych down` (pid {down.pid})"]
    last = notices.last_down(tmp_path)
    assert last and last.pid == down.pid
    notices.wait_for_down(tmp_path, told.append)
    assert len(told) == 1, "nobody ends anything now"


def test_users_are_those_that_live(tmp_path: Path) -> None:
    lease, other = leases.Lease(tmp_path), leases.Lease(tmp_path)
    assert len(leases.users(tmp_path)) == 1, "one process, which uses it twice"
    other.release(lambda: None)
    assert len(leases.users(tmp_path)) == 1
    path = tmp_path / "users" / "killed"
    path.write_text((next((tmp_path / "users").iterdir())).read_text().replace('"started": ', '"started": 1'))
    assert len(leases.users(tmp_path)) == 1
    assert not path.exists()
    lease.release(lambda: None)
    assert leases.users(tmp_path) == []
