"""Processes that the lab starts: each leads a session of its own, and the lab checks that all of them end.

A process group alone is not enough to end an orchestrator: Prefect and Dagster start runs in sessions of their own, and
a leader that is killed leaves its workers behind. So the processes of an owner are recognized in three ways, each of
which alone was seen to miss some:

    by session   the leader's pid is written down; its workers keep its session, even after its end
    by mark      a variable in the environment, which descendants inherit; but Airflow writes its title over it
    by descent   the children of those

Ending an owner's processes means that none of these is left.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from core.errors import TransientError
from core.lab.identity import Identity, boot_id
from core.lab.protocol import write_json
from core.settings import owner_only, private

MARK = "TRIPTYCH_OWNER"
"""The variable that marks a process. Its value is the folder on whose behalf the process runs."""

LEADER = ".leader"
"""The suffix of the files in that folder that name the leaders."""

GRACE_S = 12.0
"""The time between SIGTERM and SIGKILL: Dagster was seen to take 2-9 s to end cleanly."""


ENDING_S = 1.0
"""How long to wait for the exit code of a process that has ended, or is about to."""


class Child:
    """A process that this one started: the leader of a new session, with its output in `log`."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        owner: Path,
        user: int | None = None,
    ) -> None:
        self.name, self.log = name, log
        private(log.parent)
        with open(log, "ab", opener=owner_only) as out:
            self.offset = out.tell()
            self._popen = subprocess.Popen(
                list(words), env={**env, MARK: str(owner)}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True, umask=0o077, **as_user(user),
            )  # fmt: skip
        self.identity = Identity.of(name, self._popen.pid)
        write_json(private(owner) / f"{self._popen.pid}{LEADER}", asdict(self.identity))

    def returncode(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end, `timeout_s` at most; return the exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return self._popen.returncode

    def let_go(self) -> None:
        """Reap it if it has ended; otherwise let it outlive this process: another command knows it by its identity."""
        if self._popen.poll() is None:
            # Otherwise its destructor warns about a process that is meant to stay.
            self._popen.returncode = 0

    def ending(self) -> str:
        """Return how it ended, in the words of `ending`."""
        # Not `poll`, which returns None while another thread is in it: a killed service was said to have "ended".
        return ending(self.wait(ENDING_S))

    def last_line(self) -> str:
        """Return the last line that it wrote to its log: most often the cause of its end."""
        return tail(self.log, offset=self.offset)


def ending(returncode: int | None) -> str:
    """Return what a return code means: ``was killed by signal 9``, ``ended with 1``, or ``ended`` without one."""
    if returncode is None:
        return "ended"
    return f"was killed by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"


def reap(pid: int) -> str:
    """Reap `pid`, which has ended, if it is a child that was let go; return how it ended, in the words of `ending`."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        reaped = 0
    return ending(os.waitstatus_to_exitcode(status) if reaped else None)


def end_rest(leader: Identity) -> None:
    """Kill what is left in the session of `leader`, which has ended.

    A fork of the leader holds its sockets: the port that its successor needs, or a connection whose transaction never
    ends. The workers of a killed Airflow scheduler kept rows locked that way, and the next scheduler skipped these rows
    forever.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != leader.pid and os.getsid(process.pid) == leader.pid and _may_live(leader):
                process.kill()


def is_free(port: int) -> bool:
    """Return whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def as_user(uid: int | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that drop root for the user `uid`; none for None."""
    if uid is None:
        return {}
    return {"user": uid, "group": pwd.getpwuid(uid).pw_gid, "extra_groups": []}


def tail(log: Path, offset: int = 0, lines: int = 1) -> str:
    """Return the last `lines` non-empty lines that were written to `log` after `offset`, joined into one."""
    if not log.exists():
        return "(no output)"
    with log.open("rb") as text:
        size = text.seek(0, os.SEEK_END)
        text.seek(max(offset, size - 16_384))
        written = [line.strip() for line in text.read().decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(written[-lines:]) or "(no output)"


def members(owner: Path) -> list[psutil.Process]:
    """Return all living processes that run on behalf of `owner`, or of a folder below it."""
    sessions = {leader.pid for leader in _leaders(owner) if _may_live(leader)}
    ours: dict[int, psutil.Process] = {}
    others: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                is_ours = os.getsid(process.pid) in sessions or _is_marked(process, owner)
                (ours if is_ours else others)[process.pid] = process
    while children := {pid: process for pid, process in others.items() if _parent(process) in ours}:
        ours |= children
        others = {pid: process for pid, process in others.items() if pid not in children}
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for pid, process in ours.items() if pid not in mine]


def leaders(owner: Path) -> list[Identity]:
    """Return the living leaders of what runs on behalf of `owner`."""
    return [leader for leader in _leaders(owner) if leader.process()]


def _leaders(owner: Path) -> Iterator[Identity]:
    for path in _leader_files(owner):
        # Another command has just ended it; or the file is torn, or of another version of Triptych.
        with suppress(FileNotFoundError, ValueError, TypeError):
            yield Identity(**json.loads(path.read_text()))


def _leader_files(owner: Path) -> list[Path]:
    """Return the files that name leaders. Not by `Path.rglob`: it fails on a folder that is deleted while it looks."""
    return [Path(folder, name) for folder, _, names in os.walk(owner) for name in names if name.endswith(LEADER)]


def _may_live(leader: Identity) -> bool:
    """Return whether a session of this number is the leader's: it is not when another process has the pid by now."""
    try:
        return leader.is_held()
    except psutil.NoSuchProcess:
        # The kernel does not reuse a number while its session has members.
        return leader.boot == boot_id()


def _is_marked(process: psutil.Process, owner: Path) -> bool:
    try:
        mark = process.environ().get(MARK)
    # Another user's process, or one that has ended.
    except (psutil.Error, OSError):
        return False
    return mark is not None and (Path(mark) == owner or owner in Path(mark).parents)


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def end(owner: Path, *, grace_s: float = GRACE_S) -> int:
    """End everything that runs on behalf of `owner`: SIGTERM to whole groups, then SIGKILL. Return the number ended.

    Raise `TransientError` naming the processes that even SIGKILL did not end within 5 s.
    """
    left = set(members(owner))
    count = len(left)
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0), (signal.SIGKILL, 5.0)):
        if not left:
            break
        _signal(left, number)
        _wait(left, wait_s)
        # Without its leader a process may no longer be recognized; and it may have forked since.
        left = {process for process in {*left, *members(owner)} if _lives(process)}
    if left:
        raise TransientError(f"still running after SIGKILL: pids {', '.join(str(process.pid) for process in left)}")
    for path in _leader_files(owner):
        path.unlink(missing_ok=True)
    return count


def _wait(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Wait until all have ended. A zombie has: only its parent can reap it, which may never happen in a container."""
    deadline = time.monotonic() + timeout_s
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal the groups of `processes`: a group that holds one of our processes holds no other."""
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(process.pid))
    for group in groups - {os.getpgrp()}:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
