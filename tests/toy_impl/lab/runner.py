"""A fourth orchestrator, for the tests: one folder outside the checkout's adapters. Its one service does nothing."""

from __future__ import annotations

import sys
import time
from typing import Any

from core.errors import TriptychError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    Step,
    TaskRecord,
    month_record,
    serve,
)
from core.month import Month
from core.run import TASKS

VERSION = "1.0"


def describe(_: dict[str, Any], __: Progress) -> Description:
    """Return what the toy is."""
    return Description("toy", "Toy", VERSION, capabilities=["services"], ports=["web"])


def services(data: dict[str, Any], _: Progress) -> Services:
    """Return a web server of the standard library."""
    endpoint = Endpoint.from_json(data)
    port = str(endpoint.ports["web"])
    url = f"http://127.0.0.1:{port}/"
    serve_home = [sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", endpoint.home]
    return Services({}, [Step(start=serve_home, name="web"), Step(wait=url)], web=url)


def ready(_: dict[str, Any], __: Progress) -> dict[str, Any]:
    """Return at once."""
    return {}


def run_month(month: str, request: BackfillRequest, progress: Progress) -> MonthRecord:
    """Run the steps, one after the other, each as often as its error allows."""
    from core import pipeline
    from core.run import Run

    run = Run.of(request.parameters, "toy")
    tasks: list[TaskRecord] = []
    receipts: dict[str, dict[str, Any]] = {}
    error: str | None = None
    progress(month, "running")
    for name in TASKS:
        step = getattr(pipeline, name)
        arguments = (run,) if name == "ingest_zones" else (run, Month.parse(month))
        attempts = 0
        while name not in receipts and error is None:
            attempts += 1
            try:
                receipts[name] = step(*arguments).to_json()
            except TriptychError as problem:
                error = str(problem) if attempts > problem.retries else None
        tasks.append(TaskRecord(name, "failed" if attempts and error else "skipped" if error else "success", attempts))
    record = month_record(month, tasks, receipts, error)
    progress(month, record.state)
    return record


def backfill(data: dict[str, Any], progress: Progress) -> BackfillResult:
    """Run one month after the other."""
    started, request = time.monotonic(), BackfillRequest.from_json(data)
    return BackfillResult.of(VERSION, started, [run_month(month, request, progress) for month in request.months])


if __name__ == "__main__":
    sys.exit(serve({"describe": describe, "services": services, "ready": ready, "backfill": backfill}))
