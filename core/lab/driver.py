"""One call of an orchestrator's runner (`core.lab.protocol`), in its own environment; ended when it stalls.

The command line, the tests and the benchmarks all drive orchestrators through this module.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from core.errors import PermanentError, TransientError
from core.lab import processes
from core.lab.protocol import Description, Message, progress_path, read_result, write_json
from core.lab.registry import Orchestrator
from core.settings import Settings, private

OnProgress = Callable[[Mapping[str, Any]], None]
"""Called with each line that `core.lab.protocol.Progress` writes."""

KEPT_RUNS = 200
"""How many folders of past calls are kept, for whoever looks for a cause: a few KB each."""

DESCRIBE_S = 60.0
"""The limit for `describe`: an interpreter and some imports, 0.3 s on an idle machine."""

POLL_S = 0.05
"""How often the lab looks at the runner and its progress file: 0.1 % of a core."""


def environment(settings: Settings, orchestrator: Orchestrator, home: Path, dsn: str | None) -> dict[str, str]:
    """Return the scrubbed environment of an orchestrator's processes.

    Of the caller's shell it holds only the variables that `core.settings` lists.
    """
    # A proxy must not see calls between an orchestrator's own services.
    local = "127.0.0.1,localhost"
    kept = settings.passed_on
    env = {
        **kept,
        "PATH": os.pathsep.join([str(orchestrator.python.parent), "/usr/local/bin", *os.defpath.split(os.pathsep)]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), local])),
        "TRIPTYCH_HOME": str(settings.home),
        "TRIPTYCH_DBT": str(settings.dbt),
    }
    env.pop("no_proxy", None)
    return env | ({"TRIPTYCH_DSN": dsn} if dsn else {})


def call(
    orchestrator: Orchestrator,
    verb: str,
    request: Message | Mapping[str, Any],
    *,
    folder: Path,
    env: Mapping[str, str],
    stall_s: float,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] = lambda: None,
    stop: Event | None = None,
) -> dict[str, Any]:
    """Run one verb and return its decoded result. Request, result and log stay in a folder of their own below `folder`.

    Raise the error that the runner reports, or that `check` raises while it works; `TransientError` when the runner has
    made no progress for `stall_s`, or when `stop` is set; `PermanentError` with the log's last line when it ended
    without a result. In every case, nothing that the runner started is left running.
    """
    run = _run_folder(folder / "runs", verb)
    asked, answer, log = run / "request.json", run / "result.json", run / "log"
    write_json(asked, request.to_json() if isinstance(request, Message) else dict(request))
    words = [str(orchestrator.python), "-m", orchestrator.module, verb, str(asked), str(answer)]
    child = processes.Child(
        words, name=f"{orchestrator.name} {verb}", env=env, cwd=orchestrator.cwd, log=log, owner=run
    )
    try:
        _watch(child, progress_path(answer), stall_s, on_progress, check, stop or Event())
    finally:
        processes.end(run, grace_s=3.0)
        child.let_go()
    if not answer.exists():
        raise PermanentError(
            f"{child.name} ended without a result (it {child.ending()}): {child.last_line()}; see {log}"
        )
    return read_result(answer)


def describe(orchestrator: Orchestrator, settings: Settings) -> Description:
    """Return what a runner says of its orchestrator. Starts no service, and leaves nothing in the state folder."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(settings, orchestrator, Path(folder), dsn=None)
        return Description.from_json(
            call(orchestrator, "describe", {}, folder=Path(folder), env=env, stall_s=DESCRIBE_S)
        )


def _run_folder(runs: Path, verb: str) -> Path:
    """Make a folder, named by time and verb, and delete the oldest ones beyond `KEPT_RUNS`."""
    for old in sorted(private(runs).iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{verb}-", dir=runs))


def _watch(
    child: processes.Child,
    path: Path,
    stall_s: float,
    on_progress: OnProgress | None,
    check: Callable[[], object],
    stop: Event,
) -> None:
    """Pass progress on until the runner ends; raise when it must be ended."""
    news, heard = _lines(path), time.monotonic()
    while child.wait(POLL_S) is None:
        if _report(news, on_progress):
            heard = time.monotonic()
        if stop.is_set():
            raise TransientError(f"{child.name} was interrupted")
        check()
        if time.monotonic() > heard + stall_s:
            raise TransientError(f"{child.name} was ended: no progress for {stall_s:g} s; see {child.log}")
    _report(news, on_progress)


def _report(news: Iterator[str | None], on_progress: OnProgress | None) -> bool:
    """Pass on all lines that have arrived; return whether there were any."""
    has_news = False
    while line := next(news):
        has_news = True
        if on_progress:
            on_progress(json.loads(line))
    return has_news


def _lines(path: Path) -> Iterator[str | None]:
    """Yield the complete lines of a file that grows, and None whenever there is no further one yet."""
    position, rest = 0, ""
    while True:
        if path.exists():
            with path.open() as text:
                text.seek(position)
                rest += text.read()
                position = text.tell()
        *whole, rest = rest.split("\n")
        yield from whole
        yield None
