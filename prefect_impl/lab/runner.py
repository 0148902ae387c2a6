"""Prefect's side of the runner protocol (`core.lab.protocol`): it starts nothing, and asks the server."""

from __future__ import annotations

import sys
import time
from importlib.metadata import version

from core.lab.protocol import (
    TAXI_PIPELINE,
    TAXI_RANGE,
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    Progress,
    Services,
    run_range,
    run_verbs,
    schedule_verbs,
    serve,
)
from core.waiting import until
from prefect_impl.lab import backfill as parent
from prefect_impl.lab import runs as single
from prefect_impl.lab import scaling, schedules
from prefect_impl.lab import services as stack
from prefect_impl.lab.client import Json, Prefect
from prefect_impl.lab.tasks import pipelines

CAPABILITIES = ["services", "web", "concurrent_backfills", "detached_backfills", "one_run", "survives_worker_kill"]

READY_S = 120
"""How long to wait for the worker's first heartbeat, which it sends before it asks for work."""


def describe(_request: Json, _progress: Progress) -> Description:
    """Return who this is."""
    return Description(
        "prefect", "Prefect", version("prefect"), CAPABILITIES, ports=["api"], pipelines=list(pipelines().values()),
        tuned=stack.TUNED,
        guards=stack.GUARDS,
        scalable=scaling.SCALABLE,
    )  # fmt: skip


def services(request: Json, _progress: Progress) -> Services:
    """Return what to start, and in which order."""
    return stack.services(Endpoint.from_json(request))


def ready(request: Json, _progress: Progress) -> Json:
    """Return when a worker is online and the deployments exist."""
    workers = Endpoint.from_json(request).scale.get(scaling.WORKER, 1)
    with connected(request) as prefect:
        known = pipelines().keys() - {TAXI_PIPELINE.name, TAXI_RANGE.name}
        until(
            lambda: prefect.ready(list(known), workers) or None,
            READY_S,
            parent.POLL_S,
            "Prefect's worker and deployments",
        )
    return {}


def backfill(request: Json, progress: Progress) -> BackfillResult:
    """Run the deployment `backfill`, or `taxi_range`, for all months asked for, and wait for its end."""
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    with connected(wanted.endpoint) as prefect:
        if wanted.mode == "one-run":
            records = run_range(prefect, single, wanted, progress)
        else:
            records = parent.run(prefect, wanted, progress)
    return BackfillResult.of(version("prefect"), started, records)


def connected(endpoint: Json) -> Prefect:
    """Return a client of the server that is at `endpoint`."""
    return Prefect(stack.base_url(Endpoint.from_json(endpoint)))


if __name__ == "__main__":
    verbs = (describe, services, ready, backfill)
    of_runs, of_schedules = run_verbs(connected, single, parent.POLL_S), schedule_verbs(connected, schedules)
    sys.exit(serve({verb.__name__: verb for verb in verbs} | of_runs | of_schedules))
