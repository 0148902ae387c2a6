"""The lab in use: one warehouse, the services of the chosen orchestrators, and an end that leaves nothing running.

    with Lab(settings) as lab:
        lab.start(orchestrators)
        result = lab.backfill(orchestrator, BackfillRequest(...))

What a session starts ends with it, unless another process uses it too, or the session asked to `keep` it (``triptych
up``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from psycopg.conninfo import conninfo_to_dict

from core import ledger
from core.database import Connection, connect, libpq_variables, resolved
from core.errors import PermanentError, TriptychError, UsageError
from core.lab import driver, metadata, notices
from core.lab.leases import Lease, kept
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult, Request
from core.lab.registry import Orchestrator
from core.lab.running import Running
from core.lab.services import Stack
from core.lab.signals import interruptible
from core.lab.supervisor import Supervisor, Unit
from core.lab.tally import Show, Tally
from core.lab.warm_dbt import WarmDbt
from core.ledger import Entry
from core.settings import Settings, state_folder

T = TypeVar("T")
ShowAll = Callable[..., None]
"""Called with an orchestrator's name, and then as `core.lab.tally.Show`."""

RUNS = "runs already"


class Lab:
    """A session. Enter it in the main thread, so that Ctrl-C, SIGTERM and SIGHUP end it cleanly."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None] = lambda line: None, show: ShowAll | None = None
    ) -> None:
        """`say` is called with a line each time a service died or was started again.

        `show` is called, for each orchestrator's and PostgreSQL's ``services``, with what is done to start or end them.
        """
        self.settings, self._say = settings, say
        self._show: ShowAll = show or (lambda *fact: None)
        self.results: dict[str, BackfillResult] = {}
        """The results of `backfills` so far, by orchestrator, also when it was interrupted."""
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
            self._exit.enter_context(interruptible())
        try:
            # It may delete the state folder.
            notices.wait_for_down(self.settings.home, self._say)
            state_folder(self.settings.home)
            self._down_before = notices.last_down(self.settings.home)
            self.dsn = resolved(self.settings.dsn) if self.settings.dsn else self._warehouse()
            self._exit.callback(self._release)
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise what ended this session from outside instead of an `error` that came of it."""
        self._stop.set()
        ended = self._ended if isinstance(error, Exception) and not isinstance(error, UsageError) else None
        try:
            self._exit.close()
        finally:
            if ended:
                raise PermanentError(ended) from error

    @property
    def _ended(self) -> str | None:
        """What another command did that ends this session; None as long as there is no such thing."""
        if not self._leases:
            # It uses a server that `down` does not end.
            return None
        down = notices.last_down(self.settings.home)
        if down and down != self._down_before:
            return f"ended by `triptych down` (pid {down.pid})"
        if any(lease.is_lost for lease in list(self._leases.values())):
            return f"ended: somebody has deleted the state folder {self.settings.home}"
        return None

    def check(self) -> None:
        """Raise `PermanentError` when another command has ended what this session uses."""
        if ended := self._ended:
            raise PermanentError(ended)

    def start(self, chosen: Sequence[Orchestrator]) -> dict[str, Running]:
        """Bring up the services of the `chosen`, side by side; raise the first failure once all attempts have ended."""

        def one(orchestrator: Orchestrator) -> Running:
            show, steps = partial(self._show, orchestrator.name, "services"), list[str]()

            def on_step(what: str) -> None:
                steps.append(what)
                show("starting", what)

            show("starting", "")
            stack = self.stack(orchestrator)
            try:
                with self._watched(stack):
                    running = stack.start(on_step)
            except TriptychError:
                # An interrupted start has not failed. The message of one that has is raised.
                if not self._stop.is_set():
                    show("failed", "")
                raise
            if steps:
                show("success", running.web or "")
            elif stack.url:
                show("unchanged", f"{stack.url}, not started here")
            else:
                show("unchanged", RUNS if running.processes else "has no services")
            return running

        return self.together({each.name: lambda each=each: one(each) for each in chosen})  # type: ignore[misc]

    def backfill(
        self, orchestrator: Orchestrator, request: BackfillRequest, on_progress: Show | None = None
    ) -> BackfillResult:
        """Bring the orchestrator up if need be, and run `request` on it; `endpoint` is filled in.

        If its services do not come up, or its runner ends without a result, the months that have not ended by then have
        failed, and the result says with which error.
        """
        stack, tally = self.stack(orchestrator), Tally(request, orchestrator.name, on_progress)
        stack.description.check_mode(request.mode)
        with self._watched(stack) as supervisors:
            try:
                result = tally.filled(self._run(stack, tally), lambda: self._loaded(request.schema))
            except TriptychError as error:
                if isinstance(error, UsageError) and not tally.has_landed:
                    raise
                result = tally.result(self._ended or str(error), self._loaded(request.schema))
        # An interrupted backfill's months did not fail.
        if not self._stop.is_set():
            tally.settle(result)
        lines = [line for supervisor in supervisors for line in supervisor.lines]
        return replace(result, notes=[*result.notes, *lines], mode=request.mode)

    def _run(self, stack: Stack, tally: Tally) -> BackfillResult:
        """Bring the services up, then call the runner."""
        tally.version = stack.description.version
        show: Show = tally.show if tally.show and stack.description.ports else lambda *fact, **_: None
        show("services", "starting", version=tally.version)
        running = stack.start(partial(show, "services", "starting"))
        if tally.show and stack.url:
            tally.show("services", "success", stack.url)
        elif tally.show and running.processes:
            # Services that end with this session would leave a dead link on the screen.
            tally.show("services", "success", (kept(stack.folder) and running.web) or "")
        asked = replace(tally.request, endpoint=stack.endpoint(running.ports).to_json())
        answer = driver.call(
            stack.orchestrator, "backfill", asked, folder=stack.folder, env=stack.env, stall_s=self.settings.stall_s,
            on_progress=tally, check=stack.check, stop=self._stop,
        )  # fmt: skip
        return BackfillResult.from_json(answer)

    def ask(
        self, orchestrator: Orchestrator, verb: str, request: Request, on_progress: driver.OnProgress | None = None
    ) -> dict[str, Any]:
        """Bring the orchestrator up if need be, and return the answer of one verb; `endpoint` is filled in.

        Raise `UsageError`, before anything starts, when its runner lacks the verb.
        """
        stack = self.stack(orchestrator)
        stack.description.check_verb(verb)
        with self._watched(stack):
            asked = replace(request, endpoint=stack.endpoint(stack.start().ports).to_json())
            return driver.call(
                orchestrator, verb, asked, folder=stack.folder, env=stack.env, stall_s=self.settings.stall_s,
                on_progress=on_progress, check=stack.check, stop=self._stop,
            )  # fmt: skip

    def _loaded(self, schema: str) -> dict[str, Entry]:
        """Return the ledger's entries of `schema` by month; none when it can't be read."""
        try:
            with self.connect() as connection:
                entries = ledger.entries(connection, schema) if schema in ledger.schemas(connection)[0] else ()
                return {f"{each.month:%Y-%m}": each for each in entries if each.month}
        except TriptychError:
            return {}

    def backfills(
        self, requests: Mapping[Orchestrator, BackfillRequest], on_progress: ShowAll | None = None
    ) -> dict[str, BackfillResult]:
        """Run the backfills of several orchestrators side by side: each begins as soon as its own services are up."""

        def one(orchestrator: Orchestrator, request: BackfillRequest) -> BackfillResult:
            show: Show | None = on_progress and partial(on_progress, orchestrator.name)
            self.results[orchestrator.name] = result = self.backfill(orchestrator, request, show)
            return result

        return self.together({o.name: lambda o=o, r=r: one(o, r) for o, r in requests.items()})  # type: ignore[misc]

    def stack(self, orchestrator: Orchestrator) -> Stack:
        """Return the orchestrator's services, which this session uses from now on."""
        with self._lock:
            # The runs of services that were not started here build on their own machine.
            if not any(stack.url is None for stack in self._stacks.values()) and not self._url(orchestrator):
                self._warm_up()
            if orchestrator.name not in self._stacks:
                self._stacks[orchestrator.name] = self._make_stack(orchestrator)
            return self._stacks[orchestrator.name]

    def _url(self, orchestrator: Orchestrator) -> str | None:
        return self.settings.endpoints.get(orchestrator.name)

    def _make_stack(self, orchestrator: Orchestrator) -> Stack:
        name, folder = orchestrator.name, self.settings.home / orchestrator.name
        self._leases[folder] = Lease(folder)
        env = driver.environment(self.settings, orchestrator, folder / "home", self.dsn) | _tls(self.dsn)
        database = partial(metadata.create, self.settings, name, self.dsn)
        stack = Stack(
            orchestrator, folder, env, database, self._stop, self._say, url=self._url(orchestrator),
            scale=self.settings.scale.get(name, {}),
        )  # fmt: skip
        self._supervisors[name] = self._supervisor(stack)
        stack.check = partial(self._check, name)
        return stack

    def _check(self, orchestrator: str) -> None:
        """Raise when all was ended, or PostgreSQL or a service of the orchestrator died more often than it may."""
        self.check()
        for each in (*self._shared, self._supervisors[orchestrator]):
            each.check()

    @contextmanager
    def _watched(self, stack: Stack) -> Iterator[list[Supervisor]]:
        """Watch the services of `stack` and those that all orchestrators share, and start again what dies."""
        with ExitStack() as watched:
            yield [watched.enter_context(each) for each in (*self._shared, self._supervisors[stack.name])]

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Connect to the warehouse, and commit at the end."""
        with connect("lab", dsn=self.dsn) as connection:
            yield connection

    def check_holds(self, schemas: Iterable[str], dataset: str) -> None:
        """Raise `UsageError` when one of the schemas holds another dataset: each step would say so, much later."""
        from core.load.transaction import check_holds

        with self.connect() as connection:
            for schema in {*schemas} & {*ledger.schemas(connection)[0]}:
                check_holds(connection, schema, dataset)

    def keep(self) -> None:
        """Let the warehouse and all services of this session outlive it, until `end_all`."""
        for lease in self._leases.values():
            lease.keep()

    def together(self, work: Mapping[str, Callable[[], T]]) -> dict[str, T]:
        """Call all of `work` side by side; return the results by name, or raise the first failure at the end."""
        with ThreadPoolExecutor(max(1, len(work))) as pool:
            futures = {name: pool.submit(call) for name, call in work.items()}
            try:
                wait(futures.values())
            except BaseException:
                # The threads see it within 0.1 s, and end what they started.
                self._stop.set()
                raise
        return {name: future.result() for name, future in futures.items()}

    def _release(self) -> None:
        """Release all services, side by side: some take 9 s to end."""

        def one(stack: Stack) -> None:
            self._leases.pop(stack.folder).release(lambda: self._end(stack))
            stack.let_go()

        self.together({name: lambda s=s: one(s) for name, s in self._stacks.items()})  # type: ignore[misc]

    def _end(self, stack: Stack) -> None:
        if not stack.url:
            self._show(stack.name, "services", "ending", "")
            stack.end()

    def _warehouse(self) -> str:
        lease = self._leases[self._postgres.folder] = Lease(self._postgres.folder)
        self._exit.callback(lease.release, self._postgres.stop)
        self._shared.append(self._supervisor(self._postgres))
        show = partial(self._show, self._postgres.name, "services")
        runs = self._postgres.running()
        show("starting", "")
        with notices.starting(self._postgres.folder):
            dsn = self._postgres.start()
        show("unchanged" if runs else "success", RUNS if runs else "")
        return dsn

    def _warm_up(self) -> None:
        """Start to warm dbt up, so that it is warm when the first build needs it."""
        server = WarmDbt(self.settings)
        lease = self._leases[server.folder] = Lease(server.folder)
        self._exit.callback(lease.release, server.end)
        server.start()
        self._shared.append(self._supervisor(server, vital=False))

    def _supervisor(self, unit: Unit, *, vital: bool = True) -> Supervisor:
        return Supervisor(unit, self._say, vital=vital, is_ended=lambda: self._ended is not None)


TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir")
"""What a DSN may say of certificates."""


def _tls(dsn: str) -> dict[str, str]:
    """Return the DSN's certificate settings for the orchestrators' own connections: libpq and asyncpg read them."""
    asked = conninfo_to_dict(dsn)
    return {name: str(asked[key]) for key, name in libpq_variables().items() if key in TLS and key in asked}
