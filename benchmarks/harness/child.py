"""The process that runs one method once: ``python -m benchmarks.harness.child module:function ARGUMENTS``.

It prepares, prints ``ready``, waits for a line, runs what is timed, and answers with one line of JSON. Whatever the
method itself prints goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any


def main(words: list[str]) -> None:
    """Run the method that `words` name."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    module, _, function = words[0].partition(":")
    timed = getattr(importlib.import_module(module), function)(**json.loads(words[1]))
    print("ready", file=answers)
    if not sys.stdin.readline():
        sys.exit("the benchmark has ended")
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    value = timed()
    wall_s, cpu_s = time.perf_counter() - wall_s, _cpu_s() - cpu_s
    measured: dict[str, Any] = {"wall_s": round(wall_s, 4), "client_cpu_s": round(cpu_s, 4)}
    print(json.dumps({**measured, "peak_rss_mb": peak_rss_mb(), "value": value}), file=answers)


def _cpu_s() -> float:
    """Return CPU seconds of this process, all its threads, and the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_rss_mb() -> float:
    """Return the most memory that this process ever held.

    Not ru_maxrss, which starts at what the parent held when it forked.
    """
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return round(int(peak[1]) / 1024, 1)


if __name__ == "__main__":
    main(sys.argv[1:])
