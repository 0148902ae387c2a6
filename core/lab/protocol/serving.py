"""A runner's end of the protocol: its body, its progress, and its result file; and how the lab reads these."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from core.errors import PermanentError, TransientError, TriptychError, UsageError
from core.lab.protocol.message import Message
from core.lab.protocol.records import MonthRecord, RunList, RunRecord
from core.lab.protocol.requests import Request, RunIdsRequest, RunRequest
from core.lab.protocol.services import Description

Client = TypeVar("Client")
Asked = TypeVar("Asked", bound=Request)

KINDS: Mapping[str, type[TriptychError]] = {
    "usage": UsageError, "transient": TransientError, "permanent": PermanentError,
}  # fmt: skip
"""The kinds of error that a result can carry."""


class Progress:
    """Appends one JSON line per change of a month's state, for the lab that watches the runner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[str, dict[str, Any]] = {}

    def __call__(
        self,
        month: str,
        state: str,
        detail: str = "",
        record: MonthRecord | None = None,
        under_way: Mapping[str, int] = {},
    ) -> None:
        """Report that `month` is now in `state` (``waiting``, ``running``, ``success``, ...), once per change.

        Pass the month's `record` once it has ended: the lab reports it if this runner ends without a result. Without
        another `detail`, the line has the record's error, or says how many warnings it has. While the month runs,
        `under_way` holds the attempt of each step that the orchestrator says is under way, in the order of the steps;
        the line has the last of them.
        """
        detail = detail or (record and (record.error or record.warned)) or ""
        task, attempt = list(under_way.items())[-1] if under_way else ("", 0)
        fact = {"month": month, "state": state, "detail": detail, "task": task, "attempt": attempt}
        if self._last.get(month) == fact:
            return
        self._last[month] = fact
        with self._path.open("a") as out:
            out.write(json.dumps({**fact, "record": record and record.to_json()}) + "\n")


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
        if isinstance(answer, Description):
            answer = replace(answer, verbs=list(verbs))
        data = answer.to_json() if isinstance(answer, Message) else answer
    except TriptychError as error:
        traceback.print_exc()
        data = {"error": {"kind": _kind(error), "message": str(error)}}
    write_json(path, data)
    return 0


def with_client(
    connected: Callable[[dict[str, Any]], AbstractContextManager[Client]],
    of: type[Asked],
    act: Callable[[Client, Asked, Progress], object],
) -> Verb:
    """Return a verb that reads its request as a message `of` this type, and lets a client of its endpoint `act` on it.

    What `act` returns is the answer; an empty one for None.
    """

    def verb(data: dict[str, Any], progress: Progress) -> object:
        wanted = of.from_json(data)
        with connected(wanted.endpoint) as client:
            return act(client, wanted, progress) or {}

    return verb


def _kind(error: TriptychError) -> str:
    return next((kind for kind, error_type in KINDS.items() if isinstance(error, error_type)), "permanent")


def follow(asked: RunRequest, look: Callable[[], RunRecord], progress: Progress, every_s: float) -> RunRecord:
    """Call `look` every `every_s`, report what it returns, and return the last: the body of the verb `observe`.

    It ends with the run, or when `asked.wait_s` is over.
    """
    end = time.monotonic() + (math.inf if asked.wait_s is None else asked.wait_s)
    while True:
        record = look()
        progress(record.partition or record.pipeline, record.state, record.error or "", under_way=record.under_way)
        if record.has_ended or time.monotonic() >= end:
            return record
        time.sleep(every_s)


def looked_up(asked: RunIdsRequest, look: Callable[[str, str], RunRecord], progress: Progress) -> RunList:
    """Return those of the runs that there are: the body of the verb `look_up`.

    `look` is called with a pipeline and a run's id, and raises `UsageError` when the pipeline has no such run.
    """
    found = []
    for run_id in asked.run_ids:
        # Each takes some calls: without a line for each, a long list would look stalled.
        progress(run_id, "running")
        for pipeline in asked.pipelines:
            with suppress(UsageError):
                found.append(look(pipeline, run_id))
                break
    return RunList(found)


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
