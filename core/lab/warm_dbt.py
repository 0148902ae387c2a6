"""The warm dbt server as a service of the lab, like those of the orchestrators: one per state folder.

`python -m core.lab.warm_dbt` becomes the server of TRIPTYCH_HOME, where a container engine keeps it running.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

from core.errors import UsageError
from core.lab import dbt_server, processes
from core.lab.identity import Identity
from core.lab.processes import Child
from core.settings import ROOT, Settings, private, settings
from core.transform import dbt
from core.transform.dbt_client import server_folder, socket_path

WARM_UP = ROOT / "core" / "lab" / "dbt_warm_up.py"


class WarmDbt:
    """The resident process. A call that comes while it warms up is queued; without the process, dbt starts cold."""

    name = "dbt"

    def __init__(self, settings: Settings) -> None:
        self.folder = server_folder(settings.home)
        self._command = server_command(settings.home, settings.dbt)
        self.identities: list[Identity] = []
        """The server that `start` or `revive` found or started."""

    def start(self) -> None:
        """Start the server, unless it runs."""
        if self._command is None:
            return
        with FileLock(private(self.folder) / "lock"):
            if processes.members(self.folder):
                self.identities = processes.leaders(self.folder)
            else:
                self._spawn(self._command)

    def revive(self) -> None:
        """Start the server again, unless another command has. Calls that the dead one had begun to run go on."""
        if self._command is None:
            return
        with FileLock(private(self.folder) / "lock"):
            self.identities = processes.leaders(self.folder)
            if not self.identities:
                self._spawn(self._command)

    def death(self, identity: Identity) -> str:
        """Return how the server ended, and where its log is."""
        ended, log = processes.reap(identity.pid), self.folder / "log"
        return f"dbt: the {identity.name} {ended}; see {log}; each build starts cold until it is back"

    def _spawn(self, command: list[str]) -> None:
        log, env = self.folder / "log", dbt.scratch_environment()
        child = Child(command, name="warm server", env=env, cwd=ROOT, log=log, owner=self.folder)
        child.let_go()
        self.identities = [child.identity]

    def end(self) -> int:
        """End the server and the calls that it serves; return the number of processes."""
        count = processes.end(self.folder)
        # A socket that stays would make the next server look ready before it is
        for socket in self.folder.glob("*.sock"):
            socket.unlink(missing_ok=True)
        return count


def server_command(home: Path, executable: Path) -> list[str] | None:
    """Return the command that serves `executable`, a dbt, to all loaders that work in the state folder `home`.

    Return None when the interpreter that it runs in can't be determined: then every dbt is a cold one.
    """
    try:
        python = executable.resolve(strict=True).with_name("python")
        socket = socket_path(home, executable)
    except OSError:
        return None
    # dbt's static parser keeps threads, and a process with threads can't be forked.
    parse = dbt.Command(("parse", "--no-static-parser"), socket.parent, {}).words
    words = [str(python), "-P", dbt_server.__file__, str(socket), "dbt", str(WARM_UP), *parse]
    return words if python.exists() else None


def main() -> NoReturn:
    """Become the server; raise `UsageError` when there is no dbt that it could serve."""
    command = server_command(settings().home, settings().dbt)
    if command is None:
        raise UsageError(f"{settings().dbt} is no dbt in an environment of its own: set TRIPTYCH_DBT")
    private(server_folder(settings().home))
    os.chdir(ROOT)
    os.execve(command[0], command, dbt.scratch_environment())


if __name__ == "__main__":
    main()
