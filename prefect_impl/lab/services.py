"""Prefect's services on one machine: what is started, and each setting with its reason. The README shows them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from core.lab.protocol import (
    ONE_THREAD,
    Endpoint,
    Services,
    Step,
    Tuned,
    as_shipped,
    further,
    guards_as_shipped,
    several,
)
from prefect_impl.lab import scaling, warm_engine
from prefect_impl.lab.client import POOL

DEPLOYMENTS_FILE = "prefect_impl/prefect.yaml"

MONTHS_AT_ONCE = 8
"""The limit for all backfills together: a month's process takes 170 MB. Parents are not counted: see the README."""

SETTINGS = {
    "DO_NOT_TRACK": ("1", "no usage data leaves the machine"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": ("false", "the same, of the server"),
    "PREFECT_WORKER_QUERY_SECONDS": ("0.25", "a run starts 0.25 s after it is created, not up to 10 s"),
    "PREFECT_LOGGING_EXTRA_LOGGERS": ("core", "what the pipeline logs is in the log of its task run"),
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": (
        "500",
        "the server's answer while PostgreSQL restarts; a run repeats the call for a minute",
    ),
    "PREFECT_CLI_PROMPT": ("false", "there is no terminal to answer at"),
    "PREFECT_CLI_COLORS": ("false", "plain logs"),
}
"""Each variable with its value and its reason. Everything else is Prefect's default."""

QUERY = "PREFECT_WORKER_QUERY_SECONDS"
POLL = Tuned("prefect.worker_query_seconds", SETTINGS[QUERY][0], "10")
COMMAND = Tuned("prefect.command", "python -m prefect.engine", "none")
WARM = Tuned("prefect.warm_engine", "a resident process forks the runs", "none: each run imports Prefect")
TUNED = [POLL, COMMAND, WARM]
"""What is changed for speed alone; the environment may leave it as it is shipped (`core.lab.protocol.tuning`)."""

RETRIED = "PREFECT_CLIENT_RETRY_EXTRA_CODES"
GUARDS = [Tuned("prefect.client_retry_extra_codes", SETTINGS[RETRIED][0], "none")]
"""What decides whether a call that was lost is repeated. Prefect's own heartbeats of runs are left as they are:
every 180 s, and nothing looks for missing ones until somebody creates an automation."""

CLIENT = Path(warm_engine.__path__[0], "client.py")
WARM_COMMAND = f"python -S -E -P {shlex.quote(str(CLIENT))}"
"""The command of a warm run. It starts an interpreter without its environment's packages, in 0.02 CPU s."""


def services(endpoint: Endpoint) -> Services:
    """Return how to bring Prefect up in `endpoint`: metadata in PostgreSQL, a server, and a worker; or more of them."""
    url = base_url(endpoint)
    placed = {
        "PREFECT_HOME": endpoint.home,
        "PREFECT_API_URL": f"{url}/api",
        # On SQLite, concurrent runs log `database is locked` by the hundred.
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://${METADATA}",
    }
    limit = ["prefect", "work-queue", "set-concurrency-limit", "months", str(MONTHS_AT_ONCE), "--pool", POOL]
    tuned = {variable: value for variable, (value, _) in SETTINGS.items()}
    if POLL.name in as_shipped(TUNED):
        del tuned[QUERY]
    if guards_as_shipped():
        del tuned[RETRIED]
    engine = Step(start=["python", "-m", warm_engine.__name__], name="engine", leaves_runs=True)
    return Services(
        env=placed | tuned | scaling.settings(endpoint) | (ONE_THREAD if is_warm() else {}),
        steps=[
            *scaling.servers(endpoint),
            # It needs no server, and imports while that starts.
            *([engine] if is_warm() else []),
            Step(wait=f"{url}/api/health"),
            # No --limit: a parent that waits for its months would hold a slot that they need.
            *several(
                Step(
                    start=["prefect", "worker", "start", "--pool", POOL, "--type", "process"],
                    name=scaling.WORKER,
                    # Each run is a process of its own, and one that is killed with its worker would stay `Running`.
                    leaves_runs=True,
                ),
                endpoint.scale.get(scaling.WORKER, 1),
            ),
            # The worker creates its pool after the server has become healthy.
            Step(wait=f"{url}/api/work_pools/{POOL}"),
            Step(run=["prefect", "deploy", "--all", "--prefect-file", deployments_file(endpoint)], name="deploy"),
            Step(run=limit, name="limit", once=True),
            *further_steps(),
        ],
        web=url,
    )


def is_warm() -> bool:
    """Return whether a warm engine forks the runs."""
    return WARM.name not in as_shipped(TUNED)


def command() -> str | None:
    """Return the command of a run; None for what the worker does by itself."""
    if is_warm():
        return WARM_COMMAND
    return None if COMMAND.name in as_shipped(TUNED) else COMMAND.value


def deployments_file(endpoint: Endpoint) -> str:
    """Return the file of the deployments: ours, or a copy of it with the command that the settings ask for."""
    wanted = command()
    if wanted == COMMAND.value:
        return DEPLOYMENTS_FILE
    copy = Path(endpoint.home, "prefect.yaml")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(with_command(Path(DEPLOYMENTS_FILE).read_text(), wanted))
    return str(copy)


def with_command(text: str, wanted: str | None) -> str:
    """Return the text of prefect.yaml with another command, or without one."""
    ours = f"command: {COMMAND.value}"
    lines = text.splitlines(keepends=True)
    if wanted is None:
        return "".join(line for line in lines if line.strip() != ours)
    # JSON is YAML: a path may hold what YAML takes for its own.
    return "".join(
        line.replace(ours, f"command: {json.dumps(wanted)}") if line.strip() == ours else line for line in lines
    )


def further_steps() -> list[Step]:
    """Return the step that registers further pipelines, where there are any."""
    words = ["python", "-m", "prefect_impl.lab.further_pipelines"]
    return [Step(run=words, name="further")] if further.modules("prefect_flows") else []


def base_url(endpoint: Endpoint) -> str:
    """Return the server's address."""
    return endpoint.address("api")
