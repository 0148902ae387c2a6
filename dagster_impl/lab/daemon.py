"""`dagster-daemon` with another pause between two looks at the backfills: ``python -m dagster_impl.lab.daemon 2 run ...``.

Stock Dagster looks every 30 s, a constant without a setting: 20-28 s pass before a backfill's first run, and up to 30 s
after its last one until it is called done. That measures the constant, not the tool, so the lab runs this and labels
its results; TRIPTYCH_DAGSTER_DAEMON_S=30 gives the stock daemon.
"""

import sys

from dagster._daemon import controller
from dagster._daemon.cli import main

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = float(sys.argv.pop(1))  # type: ignore[assignment]  # read at each loop
    main()
