"""What runs in a state folder, whoever started it: shown by ``triptych status``, ended by ``triptych down``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.database import where
from core.errors import UsageError
from core.lab import leases, metadata, notices, processes
from core.lab.identity import Identity
from core.lab.postgres import Postgres
from core.lab.registry import orchestrators
from core.lab.running import Running
from core.lab.warm_dbt import WarmDbt
from core.run import counted
from core.settings import Settings, is_state_folder


@dataclass(frozen=True)
class Service:
    """One line of ``triptych status``."""

    name: str
    state: str
    version: str | None = None
    processes: int | None = None
    web: str | None = None


def survey(settings: Settings) -> list[Service]:
    """Return what runs in this state folder, without starting anything."""
    # Of one that has an endpoint, services may run here all the same, since before that.
    ours = {
        name: folder
        for name, folder in folders(settings).items()
        if name not in settings.endpoints or Running.read(folder / "services.json")
    }
    others = [Service(name, "TRIPTYCH_ENDPOINTS", web=url) for name, url in settings.endpoints.items()]
    return [_postgres(settings), *(_orchestrator(*each) for each in ours.items()), *others, _dbt(settings)]


def _postgres(settings: Settings) -> Service:
    folder = settings.home / "postgres"
    if settings.dsn:
        return Service("postgres", "TRIPTYCH_DSN", web=where(settings.dsn))
    server = Postgres(folder, settings.pg_bin).running() if folder.exists() else None
    if server and server.ready:
        return Service("postgres", _state(folder), web=f"127.0.0.1:{server.port}")
    if by := notices.starter(folder):
        return Service("postgres", _starting(folder, by))
    return Service("postgres", _parts(folder) if processes.members(folder) else "not running")


def _orchestrator(name: str, folder: Path) -> Service:
    running, alive = Running.read(folder / "services.json"), processes.members(folder)
    # One without services has processes while it works.
    if running and not running.dead and (running.processes or alive):
        return Service(name, _state(folder), running.version, len(alive), running.web)
    if by := notices.starter(folder):
        return Service(name, _starting(folder, by), processes=len(alive) or None)
    if running and running.dead and alive:
        dead = ", ".join(each.name for each in running.dead)
        state = f"{dead} ended: `triptych up {name}` starts it again"
        return Service(name, state, running.version, len(alive), running.web)
    if alive:
        return Service(name, _parts(folder), processes=len(alive))
    return Service(name, "not running")


def _dbt(settings: Settings) -> Service:
    folder = WarmDbt(settings).folder
    count = len(processes.members(folder))
    return Service("dbt", _state(folder) if count else "not running", processes=count or None)


def _state(folder: Path) -> str:
    """Return in which state a service is that runs."""
    users = _pids(folder)
    if leases.kept(folder):
        return f"running, used by {users}" if users else "running"
    return f"running, only for {users}" if users else "left by a killed command"


def _starting(folder: Path, by: Identity) -> str:
    return f"starting (by pid {by.pid}, {notices.starting_for(folder):.0f} s)"


def _parts(folder: Path) -> str:
    """Return in which state a service is that runs in part, and is not being started."""
    if by := notices.being_ended(folder.parent):
        return f"ending (by pid {by.pid})"
    users = _pids(folder)
    return f"starting or ending (by {users})" if users else "parts of it run: `triptych down` ends them"


def _pids(folder: Path) -> str:
    """Return ``pid 4242``, or ``pids 4242, 4243``, of the commands that use the service; nothing without any."""
    users = [str(user.pid) for user in leases.users(folder)]
    return f"pid{'s' if len(users) > 1 else ''} {', '.join(users)}" if users else ""


def recorded(settings: Settings, names: Iterable[str]) -> list[Running]:
    """Return the services of those of the orchestrators that have been started, as they are on record."""
    records = [Running.read(settings.home / name / "services.json") for name in names]
    return [each for each in records if each]


def folders(settings: Settings) -> dict[str, Path]:
    """Return the state folders of all orchestrators that ever ran here, whether or not they are known today."""
    names = {*orchestrators(settings), *(path.parent.name for path in settings.home.glob("*/runs"))}
    every = {name: settings.home / name for name in sorted(names)}
    return {name: folder for name, folder in every.items() if folder.is_dir() or processes.members(folder)}


def end_all(settings: Settings, wipe: bool = False, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """End everything of this state folder: runners, services, PostgreSQL. Return a line for each that ran.

    With `wipe`, delete the state folder too. Raise `UsageError`, before anything, when it may hold other people's
    files. `say` is called with a line when this must wait for another command that does the same.
    """
    if wipe and settings.home.exists() and not is_state_folder(settings.home):
        raise UsageError(
            f"{settings.home} was not new or empty when Triptych first used it: "
            "end all with `triptych down`, then delete what you want gone"
        )
    notices.wait_for_down(settings.home, say)
    with notices.ending(settings.home):
        names = list(folders(settings))
        lines = list(_end_processes(settings))
        lines += [f"{name}: {url} was not started here, and goes on" for name, url in settings.endpoints.items()]
        if wipe and settings.home.exists():
            if settings.dsn:
                lines += metadata.drop(settings.dsn, [metadata.name_of(settings, name) for name in names])
            _delete(settings)
            lines.append(f"{settings.home}: deleted")
    return lines


def _end_processes(settings: Settings) -> Iterator[str]:
    for name, folder in folders(settings).items():
        leases.drop_keep(folder)
        # First: the supervisors of other commands must not start these services again.
        (folder / "services.json").unlink(missing_ok=True)
        if count := processes.end(folder):
            yield f"{name}: {counted(count, 'process')} ended"
    dbt = WarmDbt(settings)
    leases.drop_keep(dbt.folder)
    if dbt.end():
        yield "dbt: ended"
    postgres = Postgres(settings.home / "postgres", settings.pg_bin)
    leases.drop_keep(postgres.folder)
    if postgres.stop():
        yield "postgres: ended"


def _delete(settings: Settings) -> None:
    """Delete the state folder, and the cluster and binaries that lie elsewhere."""
    Postgres(settings.home / "postgres", settings.pg_bin).wipe()
    # A process that was just ended may still write there.
    with suppress(OSError):
        shutil.rmtree(settings.home)
    if settings.home.exists():
        shutil.rmtree(settings.home)
