"""The toy's one service: it runs what is posted to it, a process per run, and forgets its runs when it ends.

    python -m toy_impl.lab.server PORT

POST /runs starts a run, GET /runs lists them, DELETE /runs/ID cancels one, and DELETE /history/ID forgets it.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from core.lab.protocol import RunRecord, TaskRecord

RUNS: dict[str, RunRecord] = {}
PROCESSES: dict[str, subprocess.Popen[str]] = {}


def now() -> str:
    """Return the time in ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat()


def start(asked: dict[str, Any]) -> str:
    """Start a run, and return its id."""
    run_id, words = f"toy-{len(PROCESSES) + 1}", [sys.executable, "-m", "toy_impl.lab.run", json.dumps(asked)]
    PROCESSES[run_id] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    RUNS[run_id] = RunRecord("toy", asked["pipeline"], run_id, "running", "manual", asked["month"], now(), now())
    Thread(target=finish, args=[run_id], daemon=True).start()
    return run_id


def finish(run_id: str) -> None:
    """Record the end of a run, from what its process has printed: the steps, and the error if there is one."""
    out, _ = PROCESSES[run_id].communicate()
    printed = [json.loads(line) for line in out.splitlines()]
    tasks = [TaskRecord.from_json(each) for each in printed if "task" in each]
    error = next((each["error"] for each in printed if "error" in each), None)
    state = "canceled" if PROCESSES[run_id].returncode < 0 else "failed" if error else "success"
    RUNS[run_id] = replace(RUNS[run_id], state=state, tasks=tasks, error=error, ended_at=now())  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    def do_GET(self) -> None:
        """List the runs, oldest first, and their processes."""
        pids = {run_id: PROCESSES[run_id].pid for run_id, run in RUNS.items() if not run.has_ended}
        self.answer({"runs": [run.to_json() for run in RUNS.values()], "pids": pids})

    def do_POST(self) -> None:
        """Start a run."""
        self.answer({"run_id": start(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))})

    def do_DELETE(self) -> None:
        """Cancel a run, or forget one that has ended."""
        _, what, run_id = self.path.split("/")
        if what == "runs":
            PROCESSES[run_id].terminate()
        else:
            del RUNS[run_id]
        self.answer({})

    def answer(self, data: dict[str, Any]) -> None:
        """Send `data`."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(data).encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
