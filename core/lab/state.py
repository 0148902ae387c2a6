"""What runs in a state folder, whoever started it: shown by ``triptych status``, ended by ``triptych down``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.database import where
from core.errors import UsageError
from core.lab import leases, metadata, processes
from core.lab.postgres import Postgres
from core.lab.registry import orchestrators
from core.lab.running import Running
from core.lab.warm_dbt import WarmDbt
from core.run import counted
from core.settings import Settings, is_state_folder

PARTS = "parts of it run: `triptych down` ends them"


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
    some = folders(settings).items()
    return [_postgres(settings), *(_orchestrator(name, folder) for name, folder in some), _dbt(settings)]


def _postgres(settings: Settings) -> Service:
    folder = settings.home / "postgres"
    if settings.dsn:
        return Service("postgres", "TRIPTYCH_DSN", web=where(settings.dsn))
    if server := Postgres(folder, settings.pg_bin).running() if folder.exists() else None:
        return Service("postgres", _state(True, folder), web=f"127.0.0.1:{server.port}")
    return Service("postgres", PARTS if processes.members(folder) else "not running")


def _orchestrator(name: str, folder: Path) -> Service:
    running, alive = Running.read(folder / "services.json"), processes.members(folder)
    if running and alive and running.dead:
        dead = ", ".join(each.name for each in running.dead)
        state = f"{dead} ended: `triptych up {name}` starts it again"
        return Service(name, state, running.version, len(alive), running.web)
    if running and running.processes and not running.dead:
        return Service(name, _state(True, folder), running.version, len(alive), running.web)
    if alive:
        return Service(name, PARTS, processes=len(alive))
    return Service(name, "not running")


def _dbt(settings: Settings) -> Service:
    folder = WarmDbt(settings).folder
    count = len(processes.members(folder))
    return Service("dbt", _state(count > 0, folder), processes=count or None)


def _state(is_running: bool, folder: Path) -> str:
    if not is_running:
        return "not running"
    return "running" if leases.kept(folder) else "running, until its last user ends"


def folders(settings: Settings) -> dict[str, Path]:
    """Return the state folders of all orchestrators that ever ran here, whether or not they are known today."""
    names = {*orchestrators(settings), *(path.parent.name for path in settings.home.glob("*/runs"))}
    every = {name: settings.home / name for name in sorted(names)}
    return {name: folder for name, folder in every.items() if folder.is_dir() or processes.members(folder)}


def end_all(settings: Settings, wipe: bool = False) -> list[str]:
    """End everything of this state folder: runners, services, PostgreSQL. Return a line for each that ran.

    With `wipe`, delete the state folder too. Raise `UsageError`, before anything, when it may hold other people's
    files.
    """
    if wipe and settings.home.exists() and not is_state_folder(settings.home):
        raise UsageError(
            f"{settings.home} was not new or empty when Triptych first used it: "
            "end all with `triptych down`, then delete what you want gone"
        )
    names = list(folders(settings))
    lines = list(_end_processes(settings))
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
