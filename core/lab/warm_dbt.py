"""dbt, kept warm for all loaders of a state folder: a service of the lab, like those of the tools."""

from __future__ import annotations

from filelock import FileLock

from core import dbt
from core.lab import processes
from core.lab.processes import Child
from core.settings import ROOT, Settings, private


class WarmDbt:
    """The resident process. Nobody waits for it: a call that comes while it warms up is queued, and without it dbt starts cold."""

    def __init__(self, settings: Settings) -> None:
        self.folder = dbt.warm_folder(settings.home)
        self._command = dbt.warm_server(settings.home, settings.dbt)

    def start(self) -> None:
        """Bring it up, unless it is."""
        if self._command is None:
            return
        with FileLock(private(self.folder) / "lock"):
            if not processes.members(self.folder):
                log, env = self.folder / "log", dbt.scratch_environment()
                Child(self._command, name="dbt", env=env, cwd=ROOT, log=log, owner=self.folder).let_go()

    def end(self) -> int:
        """End it, and the calls that it serves; give the number of processes."""
        count = processes.end(self.folder)
        for socket in self.folder.glob("*.sock"):  # else the next one would seem to be there before it is
            socket.unlink(missing_ok=True)
        return count
