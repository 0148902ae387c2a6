"""`dagster-daemon` with another pause between two looks at the backfills.

    python -m dagster_impl.lab.daemon 2 run ...

The stock daemon looks every 30 s, a constant without a setting: 20-28 s pass before a backfill's first run, and up to
30 s between its last run and its end. A comparison would measure that constant and not the orchestrator, so the lab
runs this daemon and labels its results; TRIPTYCH_AS_SHIPPED=dagster.backfill_loop starts the stock daemon.
"""

import sys

from dagster._daemon import controller
from dagster._daemon.cli import main

if __name__ == "__main__":
    # The daemon reads it before each pause.
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = float(sys.argv.pop(1))  # type: ignore[assignment]  # inferred as an int
    main()
