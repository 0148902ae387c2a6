"""Prefect's services on one machine: what is started, and each setting with its reason (the README shows them)."""

from __future__ import annotations

from core.lab.protocol import Endpoint, Services, Step
from prefect_impl.lab.client import POOL

MONTHS_AT_ONCE = 8
"""Of all backfills together: a month's process takes 165 MB. Parents are not counted: see the README."""

SETTINGS = {
    "DO_NOT_TRACK": ("1", "no usage data leaves the machine"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": ("false", "the same, of the server"),
    "PREFECT_WORKER_QUERY_SECONDS": ("1", "a run starts 1 s after it is made, not up to 10 s"),
    "PREFECT_LOGGING_EXTRA_LOGGERS": ("core", "the pipeline's warnings stand in the log of its task run"),
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": (
        "500",
        "so the server answers while PostgreSQL restarts; a run asks again for a minute",
    ),
    "PREFECT_CLI_PROMPT": ("false", "nobody is there to answer"),
    "PREFECT_CLI_COLORS": ("false", "plain logs"),
}
"""Variable: (value, reason). Everything else is Prefect's default."""


def services(endpoint: Endpoint) -> Services:
    """How to bring Prefect up in `endpoint`: metadata in PostgreSQL, a server and a process worker, one port."""
    url, port, temporary = base_url(endpoint), str(endpoint.ports["api"]), f"{endpoint.home}/tmp"
    placed = {
        "PREFECT_HOME": endpoint.home,
        "PREFECT_API_URL": f"{url}/api",
        # the worker keeps what it runs in <temporary folder>/runner_storage, which another user's worker may have made
        "TMPDIR": temporary,
        # on SQLite runs side by side log `database is locked` by the hundred
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://${METADATA}",
    }
    limit = ["prefect", "work-queue", "set-concurrency-limit", "months", str(MONTHS_AT_ONCE), "--pool", POOL]
    return Services(
        env=placed | {variable: value for variable, (value, _) in SETTINGS.items()},
        steps=[
            Step(run=["mkdir", "-p", temporary]),
            Step(start=["prefect", "server", "start", "--host", "127.0.0.1", "--port", port], name="server"),
            Step(wait=f"{url}/api/health"),
            # no --limit: a parent that waits for its months would hold a slot that they need
            Step(
                start=["prefect", "worker", "start", "--pool", POOL, "--type", "process"],
                name="worker",
                leaves_runs=True,  # each is a process of its own; a run that is killed with its worker stays `Running`
            ),
            Step(wait=f"{url}/api/work_pools/{POOL}"),  # the worker makes its pool
            Step(run=["prefect", "deploy", "--all", "--prefect-file", "prefect_impl/prefect.yaml"], name="deploy"),
            Step(run=limit, name="limit", once=True),
        ],
        web=url,
    )


def base_url(endpoint: Endpoint) -> str:
    """The server's address."""
    return f"http://127.0.0.1:{endpoint.ports['api']}"
