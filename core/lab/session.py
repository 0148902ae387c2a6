"""The lab in use: one warehouse, the services of the tools that are asked for, and an end that leaves nothing running.

    with Lab(settings) as lab:
        lab.start(tools)
        result = lab.backfill(tool, BackfillRequest(...))

What a session starts ends with it, unless another process uses it too, or `keep` was asked for (``triptych up``).
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core import ledger
from core.database import Connection, connect, connect_bare, libpq_variables, resolved, where
from core.errors import TriptychError, UsageError, quoted
from core.lab import driver, leases, processes
from core.lab.leases import Lease
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult, Endpoint
from core.lab.registry import Orchestrator, orchestrators
from core.lab.services import Running, Stack
from core.lab.supervisor import Supervisor
from core.lab.tally import Tally
from core.lab.warm_dbt import WarmDbt
from core.ledger import Entry
from core.settings import Settings, is_state_folder, state_folder

T = TypeVar("T")
Show = Callable[[str, str, str], None]
"""Called with month, state and detail."""

OnProgress = Callable[[str, str, str, str], None]
"""Called with tool, month, state and detail."""


class Lab:
    """A session. Enter it in the main thread, so that Ctrl-C, SIGTERM and SIGHUP end it well."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda line: None) -> None:
        """`say` is told, a line each time, of services that died and are started again."""
        self.settings, self._say = settings, say
        self.results: dict[str, BackfillResult] = {}
        """What `backfills` has so far, by tool: also when it was interrupted."""
        self._postgres = Postgres(settings.home / "postgres", settings.pg_bin)
        self._stop = threading.Event()
        self._stacks: dict[str, Stack] = {}
        self._shared: list[Supervisor] = []
        self._supervisors: dict[str, Supervisor] = {}
        self._leases: dict[Path, Lease] = {}
        self._exit = ExitStack()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._exit.enter_context(processes.interruptible())
        try:
            state_folder(self.settings.home)
            self.dsn = resolved(self.settings.dsn) if self.settings.dsn else self._warehouse()
            self._exit.callback(self._release)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._exit.close()

    def start(
        self, tools: Sequence[Orchestrator], say: Callable[[str, Running], None] | None = None
    ) -> dict[str, Running]:
        """Bring up the services of `tools`, side by side; raise the first failure when all have come to an end."""

        def one(tool: Orchestrator) -> Running:
            stack = self.stack(tool)
            with self._watched(stack):
                running = stack.start()
            if say:
                say(tool.name, running)
            return running

        return self.together({tool.name: lambda tool=tool: one(tool) for tool in tools})  # type: ignore[misc]

    def backfill(self, tool: Orchestrator, request: BackfillRequest, on_progress: Show | None = None) -> BackfillResult:
        """Bring `tool` up if need be and run `request` on it; `endpoint` is filled in.

        Where a tool does not come up, or its runner ends without a result, the months that have not ended by then have failed:
        the result says with which error.
        """
        stack, tally = self.stack(tool), Tally(request, tool.name, on_progress)
        with self._watched(stack) as supervisors:
            try:
                result = tally.filled(self._run(stack, tally), lambda: self._loaded(request.schema))
            except TriptychError as error:
                if isinstance(error, UsageError) and not tally.has_landed:
                    raise
                result = tally.result(str(error), self._loaded(request.schema))
        lines = [line for supervisor in supervisors for line in supervisor.lines]
        return replace(result, notes=[*result.notes, *lines])

    def _run(self, stack: Stack, tally: Tally) -> BackfillResult:
        """Bring the services up, then make the runner's call."""
        tally.version = stack.description.version
        if tally.show and stack.description.ports:
            tally.show("services", "starting", "")
        running = stack.start()
        if tally.show and running.processes:
            tally.show("services", "success", running.web or "")
        asked = replace(tally.request, endpoint=Endpoint(str(stack.home), running.ports).to_json())
        answer = driver.call(
            stack.tool, "backfill", asked, folder=stack.folder, env=stack.env, stall_s=self.settings.stall_s,
            on_progress=tally, check=stack.check, stop=self._stop,
        )  # fmt: skip
        return BackfillResult.from_json(answer)

    def _loaded(self, schema: str) -> dict[str, Entry]:
        """What the ledger of `schema` says of each month; nothing when it can't be read."""
        from core.datasets import GREEN

        try:
            with self.connect() as connection:
                entries = ledger.entries(connection, schema) if schema in ledger.schemas(connection)[0] else ()
                return {f"{each.month:%Y-%m}": each for each in entries if each.month and each.dataset == GREEN.name}
        except TriptychError:
            return {}

    def backfills(
        self, requests: Mapping[Orchestrator, BackfillRequest], on_progress: OnProgress | None = None
    ) -> dict[str, BackfillResult]:
        """Run several tools' backfills side by side: each begins as soon as its own services are up."""

        def one(tool: Orchestrator, request: BackfillRequest) -> BackfillResult:
            show: Show | None = on_progress and (lambda *fact: on_progress(tool.name, *fact))
            self.results[tool.name] = result = self.backfill(tool, request, show)
            return result

        return self.together({tool.name: lambda t=tool, r=request: one(t, r) for tool, request in requests.items()})  # type: ignore[misc]

    def stack(self, tool: Orchestrator) -> Stack:
        """The services of `tool`, used by us from now on."""
        with self._lock:
            if not self._stacks:
                self._warm_up()
            if tool.name not in self._stacks:
                folder = self.settings.home / tool.name
                self._leases[folder] = Lease(folder)
                env = driver.environment(self.settings, tool, folder / "home", self.dsn) | _tls(self.dsn)
                stack = Stack(tool, folder, env, lambda: self._metadata(tool.name), self._stop, self._say)
                self._stacks[tool.name] = stack
                self._supervisors[tool.name] = Supervisor(stack, self._say)
                stack.check = lambda: self._check(tool)
            return self._stacks[tool.name]

    def _check(self, tool: Orchestrator) -> None:
        """Raise when PostgreSQL or services of `tool` died once too often."""
        for each in (*self._shared, self._supervisors[tool.name]):
            each.check()

    @contextmanager
    def _watched(self, stack: Stack) -> Iterator[list[Supervisor]]:
        """Watch the services of `stack`, and what all tools share, and start again what dies."""
        with ExitStack() as watched:
            yield [watched.enter_context(each) for each in (*self._shared, self._supervisors[stack.name])]

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection to the warehouse, for reading."""
        with connect("lab", dsn=self.dsn) as connection:
            yield connection

    def keep(self) -> None:
        """Let the warehouse and all services of this session outlive it, until `end_all`."""
        for lease in self._leases.values():
            lease.keep()

    def together(self, work: Mapping[str, Callable[[], T]]) -> dict[str, T]:
        """Call all of `work` side by side; give the results by name, or raise the first failure when all have ended."""
        with ThreadPoolExecutor(max(1, len(work))) as pool:
            futures = {name: pool.submit(call) for name, call in work.items()}
            try:
                wait(futures.values())
            except BaseException:
                self._stop.set()  # the threads see it within 0.1 s, and end what they started
                raise
        return {name: future.result() for name, future in futures.items()}

    def _release(self) -> None:
        """Give up all services, side by side: some take 9 s to end."""

        def one(stack: Stack) -> None:
            self._leases.pop(stack.folder).release(stack.end)
            stack.let_go()

        self.together({name: lambda stack=stack: one(stack) for name, stack in self._stacks.items()})  # type: ignore[misc]

    def _warehouse(self) -> str:
        lease = self._leases[self._postgres.folder] = Lease(self._postgres.folder)
        self._exit.callback(lease.release, self._postgres.stop)
        self._shared.append(Supervisor(self._postgres, self._say))
        return self._postgres.start()

    def _warm_up(self) -> None:
        """Have dbt warm by the time that the first loader needs it."""
        server = WarmDbt(self.settings)
        lease = self._leases[server.folder] = Lease(server.folder)
        self._exit.callback(lease.release, server.end)
        server.start()
        self._shared.append(Supervisor(server, self._say, vital=False))

    def _metadata(self, tool: str) -> tuple[str, bool]:
        """A database for the tool's own records, beside the warehouse: its address, and whether it is new."""
        name = _database(self.settings, tool)
        with connect_bare(self.dsn, autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not there:
                try:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                except psycopg.errors.InsufficientPrivilege as error:
                    user = quoted(connection.info.user)
                    raise UsageError(
                        f"{tool} keeps its records in a database of its own, and {user} may not create one: ALTER ROLE {user} CREATEDB"
                    ) from error
        parts = conninfo_to_dict(self.dsn)
        host, port = str(parts.get("host", "localhost")), parts.get("port", 5432)
        if host.startswith("/"):
            raise UsageError(
                "TRIPTYCH_DSN names a socket folder, and the tools need a host and a port: postgresql://user:password@host:port/db"
            )
        user = ":".join(quote(str(parts[key]), safe="") for key in ("user", "password") if key in parts)
        return f"{user}@{host}:{port}/{name}", not there


def _database(settings: Settings, tool: str) -> str:
    """The name of the tool's own database. Two state folders may share one server of the user's."""
    return f"triptych_{tool}_{hashlib.sha256(bytes(settings.home)).hexdigest()[:8]}"


def _drop_databases(dsn: str, names: Sequence[str]) -> list[str]:
    """Drop those databases that are there; give a line for each, which names it when it stays."""
    lines, left = [], list(names)
    try:
        with connect_bare(resolved(dsn), autocommit=True) as connection:
            query = "SELECT datname::text FROM pg_database WHERE datname = ANY(%s) ORDER BY 1"
            left = [name for (name,) in connection.execute(query, [left]).fetchall()]
            for name in tuple(left):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                lines.append(f"database {name}: dropped")
                left.remove(name)
    except TriptychError as error:
        lines.append(f"databases {', '.join(left)} stay, where they are there: {error}")
    return lines


def _tls(dsn: str) -> dict[str, str]:
    """How the DSN wants the server to be known, for the tools' own connections to it: libpq reads it, and so does asyncpg."""
    asked = conninfo_to_dict(dsn)
    return {name: str(asked[key]) for key, name in libpq_variables().items() if key in TLS and key in asked}


def end_all(settings: Settings, wipe: bool = False) -> list[str]:
    """End everything of this state folder, whoever started it: runners, services, PostgreSQL. Give a line for each that ran.

    With `wipe` the state folder goes too; raise `UsageError`, before anything, when it may hold what is not ours.
    """
    lines, folders = [], _tool_folders(settings)
    if wipe and settings.home.exists() and not is_state_folder(settings.home):
        raise UsageError(
            f"{settings.home} was not new or empty when Triptych first used it: end all with `triptych down`, then delete what you want gone"
        )
    for name, folder in folders.items():
        leases.drop_keep(folder)
        (folder / "services.json").unlink(missing_ok=True)  # first: whoever watches them shall not start them again
        if count := processes.end(folder):
            lines.append(f"{name}: {count} processes ended")
    dbt = WarmDbt(settings)
    leases.drop_keep(dbt.folder)
    if dbt.end():
        lines.append("dbt: ended")
    postgres = Postgres(settings.home / "postgres", settings.pg_bin)
    leases.drop_keep(postgres.folder)
    if postgres.stop():
        lines.append("postgres: ended")
    if wipe and settings.home.exists():
        if settings.dsn:
            lines += _drop_databases(settings.dsn, [_database(settings, name) for name in folders])
        postgres.wipe()
        with suppress(OSError):  # who was just ended may still tidy up in there
            shutil.rmtree(settings.home)
        if settings.home.exists():
            shutil.rmtree(settings.home)
        lines.append(f"{settings.home}: deleted")
    return lines


def _tool_folders(settings: Settings) -> dict[str, Path]:
    """The state folders of all tools that ever ran, known today or not; and those that were deleted under what runs."""
    names = {*orchestrators(settings), *(path.parent.name for path in settings.home.glob("*/runs"))}
    folders = {name: settings.home / name for name in sorted(names)}
    return {name: folder for name, folder in folders.items() if folder.is_dir() or processes.members(folder)}


@dataclass(frozen=True)
class Service:
    """One line of ``triptych status``."""

    name: str
    state: str
    version: str | None = None
    processes: int | None = None
    web: str | None = None


TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir")
"""What a DSN may say of certificates."""

PARTS = "parts of it run: `triptych down` ends them"


def survey(settings: Settings) -> list[Service]:
    """What runs in this state folder, without starting anything."""
    folder = settings.home / "postgres"
    server = Postgres(folder, settings.pg_bin).running() if folder.exists() else None
    left = not server and processes.members(folder)
    if settings.dsn:
        services = [Service("postgres", "TRIPTYCH_DSN", web=where(settings.dsn))]
    else:
        services = [
            Service(
                "postgres",
                PARTS if left else _state(bool(server), folder),
                web=f"127.0.0.1:{server.port}" if server else None,
            )
        ]
    for name, folder in _tool_folders(settings).items():
        running, alive = Running.read(folder / "services.json"), processes.members(folder)
        if running and alive and running.dead:
            dead = ", ".join(each.name for each in running.dead)
            state = f"{dead} ended: `triptych up {name}` starts it again"
            services.append(Service(name, state, running.version, len(alive), running.web))
        elif running and running.processes and not running.dead:
            services.append(Service(name, _state(True, folder), running.version, len(alive), running.web))
        elif alive:
            services.append(Service(name, PARTS, processes=len(alive)))
        else:
            services.append(Service(name, "not running"))
    dbt = WarmDbt(settings).folder
    warm = len(processes.members(dbt))
    services.append(Service("dbt", _state(warm > 0, dbt), processes=warm or None))
    return services


def _state(runs: bool, folder: Path) -> str:
    if not runs:
        return "not running"
    return "running" if leases.kept(folder) else "running, until its last user ends"
