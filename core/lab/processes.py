"""Processes that the lab starts: each leads a session of its own, and the end of them all is checked.

A group alone is not enough to end a tool: Prefect and Dagster start runs in sessions of their own, and a killed leader leaves
its workers behind. So what belongs together is found in four ways, each of which alone was seen to miss some:

    by session   the leader's pid is written down; its workers keep its session, also when it is gone
    by mark      a variable in the environment, which descendants inherit; but Airflow writes its title over it
    by descent   children of those
    by output    a log in the folder, which was deleted under them with all else that was written down

Ending means that nothing of that is left.
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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from core.errors import TransientError
from core.lab.protocol import write_json
from core.settings import owner_only, private

MARK = "TRIPTYCH_OWNER"
"""The variable that marks a process: the folder on whose behalf it runs."""

LEADER = ".leader"
"""The suffix of the files, in that folder, which name the leaders."""

GRACE_S = 12.0
"""Between SIGTERM and SIGKILL: Dagster was seen to take 2-9 s to end well."""

_CLOCK_S = 0.05  # two readings of one process's start time agree to the clock tick, 0.01 s


@dataclass(frozen=True)
class Identity:
    """A process by pid and start, so that a recycled pid is never taken for it.

    `started` is in seconds since `boot`, which names the machine's start. The time of day would not do: the kernel gives it
    as whole seconds of the clock at boot, and a clock that is put right by some hundredths moves that by a second.
    """

    name: str
    pid: int
    boot: str
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> Identity:
        """The process that has `pid` now. Raise `psutil.NoSuchProcess` when there is none."""
        return cls(name, pid, _boot(), _started(pid))

    def is_held(self) -> bool:
        """Whether the pid is still this process's, be it a zombie. Raise `psutil.NoSuchProcess` when it is nobody's."""
        return self.boot == _boot() and abs(_started(self.pid) - self.started) < _CLOCK_S

    def process(self) -> psutil.Process | None:
        """The living process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            alive = self.is_held() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def _boot() -> str:
    """This start of the machine, under a name that no other start has."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # not Linux
        return str(psutil.boot_time())


def _started(pid: int) -> float:
    """When the process started: on Linux in seconds since the machine's start, else by the clock of that moment."""
    while True:
        boot = psutil.boot_time()
        started = psutil.Process(pid).create_time()
        if psutil.boot_time() == boot:  # else the clock was set in between
            return started - boot if psutil.LINUX else started


class Child:
    """A process that we started: the leader of a new session, with its output in `log`."""

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
        """The exit code, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end, `timeout_s` at most; give the exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return self._popen.returncode

    def let_go(self) -> None:
        """Reap it when it has ended; else let it outlive us: another command finds it by its identity."""
        if self._popen.poll() is None:
            self._popen.returncode = 0  # else its destructor warns about a process that is meant to stay

    def ending(self) -> str:
        """How it ended, as `said` has it."""
        return said(self.returncode())

    def last_line(self) -> str:
        """The last line that it wrote to its log, which is most often the cause of its end."""
        return tail(self.log, offset=self.offset)


def said(returncode: int | None) -> str:
    """What a return code means: ``was killed by signal 9``, ``ended with 1``, or ``ended`` when nobody knows it."""
    if returncode is None:
        return "ended"
    return f"was killed by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"


def reap(pid: int) -> str:
    """Bury `pid`, which has ended, if it is a child of ours that was let go; return how it ended, as `said` has it."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        found = 0
    return said(os.waitstatus_to_exitcode(status) if found else None)


def end_rest(leader: Identity) -> None:
    """Kill what is left in the session of `leader`, which has ended.

    A fork of it holds its sockets: the port that its successor needs, or a connection whose transaction is never over.
    The workers of a killed Airflow scheduler kept rows locked so, and the next scheduler passed them over for ever.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != leader.pid and os.getsid(process.pid) == leader.pid and _may_live(leader):
                process.kill()


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def as_user(uid: int | None) -> dict[str, Any]:
    """The arguments of `subprocess` that drop root for the user `uid`; none for None."""
    if uid is None:
        return {}
    return {"user": uid, "group": pwd.getpwuid(uid).pw_gid, "extra_groups": []}


def tail(log: Path, offset: int = 0, lines: int = 1) -> str:
    """The last `lines` non-empty lines that were written to `log` after `offset`, on one line."""
    if not log.exists():
        return "(no output)"
    with log.open("rb") as text:
        size = text.seek(0, os.SEEK_END)
        text.seek(max(offset, size - 16_384))
        found = [line.strip() for line in text.read().decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(found[-lines:]) or "(no output)"


def members(owner: Path) -> list[psutil.Process]:
    """All living processes that run on behalf of `owner`, or of a folder below it."""
    sessions = {leader.pid for leader in _leaders(owner) if _may_live(leader)}
    found: dict[int, psutil.Process] = {}
    others: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                ours = os.getsid(process.pid) in sessions or _is_marked(process, owner) or _has_lost_log(process, owner)
                (found if ours else others)[process.pid] = process
    while children := {pid: process for pid, process in others.items() if _parent(process) in found}:
        found |= children
        others = {pid: process for pid, process in others.items() if pid not in children}
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for pid, process in found.items() if pid not in mine]


def leaders(owner: Path) -> list[Identity]:
    """The living leaders of what runs on behalf of `owner`."""
    return [leader for leader in _leaders(owner) if leader.process()]


def _leaders(owner: Path) -> Iterator[Identity]:
    for path in _leader_files(owner):
        # ended just now by another command; torn, or written by another Triptych
        with suppress(FileNotFoundError, ValueError, TypeError):
            yield Identity(**json.loads(path.read_text()))


def _leader_files(owner: Path) -> list[Path]:
    """Not by `Path.rglob`: that fails on a folder that is deleted while it looks, and tools delete folders all the time."""
    return [Path(folder, name) for folder, _, names in os.walk(owner) for name in names if name.endswith(LEADER)]


def _may_live(leader: Identity) -> bool:
    """Whether a session of this number is the leader's: not when its pid is somebody else's by now."""
    try:
        return leader.is_held()
    except psutil.NoSuchProcess:
        return leader.boot == _boot()  # a number is not given again while its session has members


def _is_marked(process: psutil.Process, owner: Path) -> bool:
    try:
        mark = process.environ().get(MARK)
    except (psutil.Error, OSError):  # somebody else's, or gone
        return False
    return mark is not None and (Path(mark) == owner or owner in Path(mark).parents)


def _has_lost_log(process: psutil.Process, owner: Path) -> bool:
    try:
        log = Path(f"/proc/{process.pid}/fd/1").readlink()
    except OSError:  # somebody else's, gone, or not Linux
        return False
    return log.name.endswith(" (deleted)") and owner in log.parents


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def end(owner: Path, *, grace_s: float = GRACE_S) -> int:
    """End everything that runs on behalf of `owner`: SIGTERM to whole groups, then SIGKILL. Give the number ended.

    Raise `TransientError` naming the processes that even SIGKILL did not end within 5 s.
    """
    found = set(members(owner))
    count = len(found)
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0), (signal.SIGKILL, 5.0)):
        if not found:
            break
        _signal(found, number)
        _wait(found, wait_s)
        # What was found at first may be out of sight by now, its leader gone; and it may have forked since
        found = {process for process in {*found, *members(owner)} if _lives(process)}
    if found:
        raise TransientError(f"still running after SIGKILL: pids {', '.join(str(process.pid) for process in found)}")
    for path in _leader_files(owner):
        path.unlink(missing_ok=True)
    return count


def _wait(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Wait until all have ended. A zombie has: only its parent can bury it, and that may never happen in a container."""
    deadline = time.monotonic() + timeout_s
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal the groups of `processes`: a group with one of our processes in it is ours from end to end."""
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(process.pid))
    for group in groups - {os.getpgrp()}:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end. `code` is the exit code that a shell expects: 128 and the signal's number.

    A KeyboardInterrupt, because what runs us (a test runner, say) knows that one, and ends on it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on the first SIGINT, SIGTERM or SIGHUP, and ignore more of them while we tidy up.

    A handler also means that children get the default action back: a shell that starts us in the background has
    SIGINT ignored, and services that inherit that can't be stopped. Must be entered in the main thread.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, lambda *_: None)
        raise Interrupted(number)

    before: dict[signal.Signals, Any] = {each: signal.signal(each, handle) for each in ENDING}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
