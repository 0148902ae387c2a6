"""`dagster api grpc`, a code server whose runs start with everything imported.

    python -m dagster_impl.lab.code_server api grpc ...

The stock server starts an interpreter for each run, by the start method "spawn" of multiprocessing. This one uses
"forkserver": a process that has imported `dagster_impl.lab.preload`, and has one thread and no connection, forks each
run. Dagster has that as a setting for the processes of steps (`multiprocess_executor`), and none for those of runs.
TRIPTYCH_AS_SHIPPED=dagster.run_start_method starts the stock server.
"""

import logging
import multiprocessing
import sys
from multiprocessing import forkserver
from typing import Any

from dagster._cli import main
from dagster._grpc import server

PRELOADED = "dagster_impl.lab.preload"

log = logging.getLogger(__name__)


class ForkingServer(server.DagsterApiServer):
    """The code server, with another start method for runs. Python starts a fork server that was killed again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fork_runs()
        # Before the first run asks for it: its imports take seconds.
        forkserver.ensure_running()

    def fork_runs(self) -> None:
        """Make a fork server start the processes of runs."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([PRELOADED])
        self._mp_ctx = context  # type: ignore[assignment]  # inferred as a context of "spawn"

    def _check_for_orphaned_runs(self) -> None:
        """Record the failure of runs whose processes have ended; try again at the next tick when that fails.

        In the stock server the thread that calls this ends with the first error of the database. The run stays STARTED
        then, and the server goes on saying that it has a process, so that run monitoring does not notice either.
        """
        try:
            super()._check_for_orphaned_runs()
        except Exception:
            log.exception("runs whose processes have ended could not be looked after; trying again")


if __name__ == "__main__":
    # The command looks its server up in the module when it starts one.
    server.DagsterApiServer = ForkingServer  # type: ignore[misc]
    sys.exit(main())  # type: ignore[no-untyped-call]
