"""`dagster-daemon` with another pause between two looks at the backfills, begun when the code servers answer.

    python -m dagster_impl.lab.daemon 2 run ... -w WORKSPACE

The stock daemon looks every 30 s, a constant without a setting: 20-28 s pass before a backfill's first run, and up to
30 s between its last run and its end. A comparison would measure that constant and not the orchestrator, so the lab
runs this daemon and labels its results; TRIPTYCH_AS_SHIPPED=dagster.backfill_loop starts the stock daemon.

A daemon that finds no code server when it starts looks for it again after 60 s, and fails every run that it launches
until then. They start together, so this one waits, after its imports, which take as long as theirs.
"""

import json
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from dagster._daemon import controller
from dagster._daemon.cli import main

from core.errors import TransientError
from core.waiting import until

PATIENCE_S = 60.0
"""How long to wait for a code server. The daemon then starts without it, and its log says so."""


def wait_for_code_servers(workspace: Path) -> None:
    """Return once each code server of a workspace file accepts a connection, or after `PATIENCE_S`."""
    for location in json.loads(workspace.read_text())["load_from"]:
        server = location["grpc_server"]
        with suppress(TransientError):
            until(partial(accepts, server["host"], server["port"]), PATIENCE_S, 0.1, "a code server")


def accepts(host: str, port: int) -> bool | None:
    """Return whether a port accepts a connection: True, or None for not yet."""
    try:
        with socket.create_connection((host, port), timeout=10):
            return True
    except OSError:
        return None


if __name__ == "__main__":
    # The daemon reads it before each pause.
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = float(sys.argv.pop(1))  # type: ignore[assignment]  # inferred as an int
    if "-w" in sys.argv:
        wait_for_code_servers(Path(sys.argv[sys.argv.index("-w") + 1]))
    main()
