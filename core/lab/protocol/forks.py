"""What an adapter needs where a process with everything imported forks the runs (docs/decisions/0018)."""

from __future__ import annotations

import signal
import sys

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables with which NumPy and Arrow start no thread when they are imported: a process that forks must have one."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it dies. On Linux only; elsewhere it goes on.

    Its orchestrator takes such a run for lost and retries it: the first attempt must not go on beside the second.
    """
    if sys.platform == "linux":
        # Here, because it costs every runner some milliseconds. A process that forks has it from NumPy.
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
