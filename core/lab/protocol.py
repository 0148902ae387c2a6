"""The runner protocol: how the lab drives an orchestrator that it never imports.

    python -m <orchestrator>_impl.lab.runner VERB REQUEST.json RESULT.json

This runs in the orchestrator's own environment. It reads the request, and writes the result under a temporary name that
it renames when the file is complete. A runner that leaves no result file has crashed: the end of its log is then the
message. While it works, it appends progress lines to ``RESULT.json.progress``; the lab ends it when none has come for
`Settings.stall_s`. Standard library only, because five environments import it.

Verbs
    describe   {}               -> Description     who this is, what it can do, and which ports its services need
    services   Endpoint         -> Services        what to run and start, in order; the runner itself starts no process
    ready      Endpoint         -> {}              returns when the services take work, or raises
    backfill   BackfillRequest  -> BackfillResult  runs the months through the orchestrator's own machinery
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

from core.errors import PermanentError, TransientError, TriptychError, UsageError
from core.run import JOBS, TASKS, RunParameters, counted

MonthState = Literal["success", "unchanged", "failed"]
TaskState = Literal["success", "unchanged", "failed", "skipped"]

KINDS: Mapping[str, type[TriptychError]] = {
    "usage": UsageError, "transient": TransientError, "permanent": PermanentError,
}  # fmt: skip
"""The kinds of error that a result can carry."""


class Message:
    """A dataclass that passes between processes as JSON. Unknown keys are refused: a typo must not become a default."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a message from decoded JSON; raise `UsageError` on a missing or unknown key."""
        try:
            return cls(**data)
        except TypeError as error:
            raise UsageError(f"{cls.__name__}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the message as plain dicts, lists and scalars."""
        # Every subclass is a dataclass.
        return asdict(self)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class Description(Message):
    """Who an orchestrator is. `capabilities` are keys of `core.lab.capabilities.CAPABILITIES`; `ports` are names.

    `lacks` holds each capability that it does not have, with the reason in one sentence.
    """

    name: str
    title: str
    version: str
    capabilities: list[str]
    ports: list[str] = field(default_factory=list)
    lacks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint(Message):
    """Where an orchestrator's services are: its home folder, and its loopback ports by name."""

    home: str
    ports: dict[str, int]


@dataclass(frozen=True)
class Step(Message):
    """One step of bringing services up. Exactly one of `run`, `start` and `wait` is set.

    run    a command that ends, such as a database migration; with `once`, it is not repeated while its words,
           the orchestrator's version and its home stay the same
    start  a process that stays; `name` labels its log
    wait   an http URL that must answer 200

    Before a process that died is started again, the rest of its session is ended. With `leaves_runs` it is not: the
    rest are then runs that come to their end without it.
    """

    run: list[str] | None = None
    start: list[str] | None = None
    wait: str | None = None
    name: str = ""
    once: bool = False
    leaves_runs: bool = False


@dataclass(frozen=True)
class Services(Message):
    """How to bring an orchestrator up. In `env`, ``${METADATA}`` becomes ``user:password@host:port/database``."""

    env: dict[str, str]
    steps: list[Step]
    web: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the message, and the messages inside it, from decoded JSON."""
        return super().from_json({**data, "steps": [Step.from_json(step) for step in data["steps"]]})


@dataclass(frozen=True)
class BackfillRequest(Message):
    """A backfill of `months`, in this order, `jobs` of them at a time.

    Each month's run gets the fields of `core.run.RunParameters`; `endpoint` is where the services are.
    """

    months: list[str]
    source: str
    schema: str
    endpoint: dict[str, Any] = field(default_factory=dict)
    strategy: str = "swap"
    force: bool = False
    jobs: int = JOBS
    accept_suspect: bool = False
    strict: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The run parameters of each month, as the orchestrator passes them on: small, and without a secret."""
        return {field.name: getattr(self, field.name) for field in fields(RunParameters)}


@dataclass(frozen=True)
class TaskRecord(Message):
    """What the orchestrator recorded of one step of one month. Times are ISO 8601 with an offset."""

    task: str
    state: TaskState
    attempts: int
    started_at: str | None = None
    ended_at: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class MonthRecord(Message):
    """What the orchestrator recorded of one month. `attempts`, `rows` and both hashes are the ingest step's."""

    month: str
    state: MonthState
    attempts: int = 0
    rows: int | None = None
    source_sha256: str | None = None
    digest: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    tasks: list[TaskRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The warnings of its steps, one line each, in the order of the steps."""

    @property
    def warned(self) -> str:
        """How many warnings there are, as in ``1 warning``; empty without any."""
        return counted(len(self.warnings), "warning") if self.warnings else ""

    @property
    def summary(self) -> str:
        """The state, and how many warnings there are, as in ``success, 1 warning``."""
        return ", ".join(filter(None, (self.state, self.warned)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the message, and the messages inside it, from decoded JSON."""
        return super().from_json({**data, "tasks": [TaskRecord.from_json(task) for task in data.get("tasks", [])]})


@dataclass(frozen=True)
class BackfillResult(Message):
    """The result of a backfill. `status` is ``failed`` when a month failed. `notes` are for whoever reads `seconds`."""

    status: Literal["success", "failed"]
    version: str
    seconds: float
    months: list[MonthRecord]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, version: str, started: float, months: list[MonthRecord], notes: list[str] | None = None) -> Self:
        """Build the result from its `months`; `started` is a `time.monotonic()` reading."""
        failed = any(month.state == "failed" for month in months)
        return cls(
            "failed" if failed else "success", version, round(time.monotonic() - started, 3), months, notes or []
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the message, and the messages inside it, from decoded JSON."""
        return super().from_json({**data, "months": [MonthRecord.from_json(month) for month in data["months"]]})


def month_record(
    month: str, tasks: list[TaskRecord], receipts: Mapping[str, Mapping[str, Any]], error: str | None
) -> MonthRecord:
    """Return the record of one month, from its tasks as the orchestrator recorded them, and their receipts by name.

    A month is ``unchanged`` when its ingest step saw that these very bytes are loaded, and ``failed`` when any step
    failed or did not run.
    """
    by_name = {task.task: task for task in tasks}
    ingest = receipts.get("ingest_month", {})
    missing = [name for name in TASKS if name not in by_name or by_name[name].state in ("failed", "skipped")]
    if missing and not error:
        error = f"did not run: {', '.join(missing)}"
    state: MonthState = "failed" if error else "unchanged" if ingest.get("state") == "unchanged" else "success"
    starts = [task.started_at for task in tasks if task.started_at]
    ends = [task.ended_at for task in tasks if task.ended_at]
    return MonthRecord(
        month=month,
        state=state,
        attempts=by_name["ingest_month"].attempts if "ingest_month" in by_name else 0,
        rows=ingest.get("rows"),
        source_sha256=ingest.get("source_sha256"),
        digest=ingest.get("digest"),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None),
        error=error,
        tasks=sorted(tasks, key=lambda task: TASKS.index(task.task)),
        warnings=[line for task in TASKS for line in receipts.get(task, {}).get("warnings", [])],
    )


class Progress:
    """Appends one JSON line per change of a month's state, for the lab that watches the runner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, tuple[str, str]] = {}

    def __call__(self, month: str, state: str, detail: str = "", record: MonthRecord | None = None) -> None:
        """Report that `month` is now in `state` (``waiting``, ``running``, ``success``, ...), once per change.

        Pass the month's `record` once it has ended: the lab reports it if this runner ends without a result. Without
        another `detail`, the line says how many warnings the record has.
        """
        detail = detail or (record.warned if record else "")
        if self._last.get(month) == (state, detail):
            return
        self._last[month] = (state, detail)
        with self._path.open("a") as out:
            fact = {"month": month, "state": state, "detail": detail, "record": record and record.to_json()}
            out.write(json.dumps(fact) + "\n")


Verb = Callable[[dict[str, Any], Progress], Any]


def serve(verbs: Mapping[str, Verb], argv: list[str] | None = None) -> int:
    """Run one verb of a runner: the body of ``if __name__ == "__main__"``.

    A `TriptychError` is a result too: ``{"error": {"kind", "message"}}``. Any other exception leaves a traceback in the
    log, and no result.
    """
    verb, request, result = (argv if argv is not None else sys.argv[1:])[:3]
    path = Path(result)
    try:
        answer = verbs[verb](json.loads(Path(request).read_text()), Progress(progress_path(path)))
        data = answer.to_json() if isinstance(answer, Message) else answer
    except TriptychError as error:
        traceback.print_exc()
        data = {"error": {"kind": _kind(error), "message": str(error)}}
    write_json(path, data)
    return 0


def _kind(error: TriptychError) -> str:
    return next((kind for kind, error_type in KINDS.items() if isinstance(error, error_type)), "permanent")


@contextmanager
def canceled_with_us(cancel: Callable[[], object]) -> Iterator[None]:
    """Call `cancel` when the block fails or SIGTERM ends this process: otherwise the orchestrator would go on."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    with ExitStack() as restored:
        # Only the main thread may set a signal handler, and only it gets signals.
        if threading.current_thread() is threading.main_thread():
            restored.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, end))
        try:
            yield
        except BaseException:
            # The services may have ended with this process.
            with suppress(TriptychError):
                cancel()
            raise


def progress_path(result: Path) -> Path:
    """Return where the runner that writes `result` reports its progress."""
    return result.with_name(result.name + ".progress")


def write_json(path: Path, data: Any) -> None:
    """Write `data` under a temporary name in the same folder, then rename: a reader sees all of it, or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_text(json.dumps(data, indent=1))
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_result(path: Path) -> dict[str, Any]:
    """Read what a runner wrote; raise the error that it reports."""
    data: dict[str, Any] = json.loads(path.read_text())
    if "error" in data and set(data) == {"error"}:
        raise KINDS[data["error"]["kind"]](data["error"]["message"])
    return data
