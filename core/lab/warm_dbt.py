"""dbt, kept warm for all loaders of a state folder: a service of the lab, like those of the tools."""

from __future__ import annotations

from filelock import FileLock

from core.lab import processes
from core.lab.identity import Identity
from core.lab.processes import Child
from core.settings import ROOT, Settings, private
from core.transform import dbt


class WarmDbt:
    """The resident process. Nobody waits for it: a call that comes while it warms up is queued, and without it dbt starts cold."""

    name = "dbt"

    def __init__(self, settings: Settings) -> None:
        self.folder = dbt.warm_folder(settings.home)
        self._command = dbt.warm_server(settings.home, settings.dbt)
        self.identities: list[Identity] = []
        """The server that `start` or `revive` found or started."""

    def start(self) -> None:
        """Bring it up, unless it is."""
        if self._command is None:
            return
        with FileLock(private(self.folder) / "lock"):
            if processes.members(self.folder):
                self.identities = processes.leaders(self.folder)
            else:
                self._spawn(self._command)

    def revive(self) -> None:
        """Bring it up again, unless another command has; what the dead one had begun to run goes on."""
        if self._command is None:
            return
        with FileLock(private(self.folder) / "lock"):
            self.identities = processes.leaders(self.folder)
            if not self.identities:
                self._spawn(self._command)

    def death(self, identity: Identity) -> str:
        """Say how it ended, and where its log is."""
        return f"dbt: the {identity.name} {processes.reap(identity.pid)}; see {self.folder / 'log'}; each build starts cold until it is back"

    def _spawn(self, command: list[str]) -> None:
        log, env = self.folder / "log", dbt.scratch_environment()
        child = Child(command, name="warm server", env=env, cwd=ROOT, log=log, owner=self.folder)
        child.let_go()
        self.identities = [child.identity]

    def end(self) -> int:
        """End it, and the calls that it serves; give the number of processes."""
        count = processes.end(self.folder)
        for socket in self.folder.glob("*.sock"):  # else the next one would seem to be there before it is
            socket.unlink(missing_ok=True)
        return count
