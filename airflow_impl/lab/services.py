"""Airflow's services on one machine: what is started, and each setting with its reason (the README shows them)."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from core.lab.protocol import Endpoint, Services, Step
from core.settings import owner_only, private

DAGS = Path(__file__).resolve().parent.parent / "dags"

SETTINGS = {
    "CORE__PARALLELISM": ("8", "as many months at a time; an idle worker costs 23 MB, 32 would be 0.7 GB"),
    "CORE__LOAD_EXAMPLES": ("False", "only our DAG"),
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": ("False", "a paused DAG leaves the runs of a backfill queued for ever"),
    "CORE__HOSTNAME_CALLABLE": ("socket.gethostname", "the default asks DNS, which a machine may not have"),
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": ("True", "no login: the server listens on loopback only"),
    "API__HOST": ("127.0.0.1", "the default is 0.0.0.0"),
    "API__MAXIMUM_PAGE_LIMIT": ("1000", "all runs of any backfill in one answer; the default of 100 is 8 years"),
    "LOGGING__NAMESPACE_LEVELS": ("http.access=WARNING", "no line in the log for each heartbeat and poll"),
    "SCHEDULER__USE_JOB_SCHEDULE": ("False", "only backfills and manual runs; else unpausing starts last month's run"),
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": ("0.1", "the next task starts 0.2 s after its upstream, not 1 s"),
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": ("30", "a lost worker is noticed in 30 s, not in 300 s"),
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": ("3", "how often that is looked at"),
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": (
        "60",
        "heartbeats 17 s late were seen on a busy machine; it then resets its own running tasks",
    ),
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": ("10", "a restarted scheduler takes over the tasks of the one before"),
    "WORKERS__EXECUTION_API_TIMEOUT": ("60", "5 s are too few when every core is busy: a first call took 24 s"),
    "WORKERS__EXECUTION_API_RETRIES": ("8", "a task bears with an API server that restarts for a minute, not for 15 s"),
    "DAG_PROCESSOR__PARSING_PROCESSES": ("1", "there is one DAG file"),
    "DAG_PROCESSOR__REFRESH_INTERVAL": ("10", "an edited DAG file is seen in 10 s, not in 300 s"),
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": ("600", "an unchanged DAG file is not parsed every 30 s"),
    "DAG_PROCESSOR__PRINT_STATS_INTERVAL": ("0", "no table of one DAG file in the log every 30 s"),
}
"""Option: (value, reason). Everything else is Airflow's default."""


def services(endpoint: Endpoint) -> Services:
    """How to bring Airflow up in `endpoint`: metadata in PostgreSQL, three processes, one port."""
    home, url = Path(endpoint.home), base_url(endpoint)
    keep_secrets(home / "airflow.cfg")
    placed = {
        "CORE__DAGS_FOLDER": str(DAGS),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__PORT": str(endpoint.ports["api"]),
        "API__BASE_URL": url,
        "DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://${METADATA}",
    }
    options = placed | {option: value for option, (value, _) in SETTINGS.items()}
    return Services(
        env={"AIRFLOW_HOME": str(home)} | {f"AIRFLOW__{option}": value for option, value in options.items()},
        steps=[
            Step(run=["airflow", "db", "migrate"], name="db-migrate", once=True),
            Step(start=["airflow", "api-server"], name="api-server"),
            # no log server: the API server reads the logs in the same home itself
            Step(start=["airflow", "scheduler", "--skip-serve-logs"], name="scheduler"),
            Step(start=["airflow", "dag-processor"], name="dag-processor"),
            # The API that tasks talk to is built by its first request, in 6 CPU s: better now than by a task's
            Step(wait=f"{url}/execution/health"),
        ],
        web=url,
    )


def base_url(endpoint: Endpoint) -> str:
    """The API server's address."""
    return f"http://127.0.0.1:{endpoint.ports['api']}"


def keep_secrets(config: Path) -> None:
    """Write Airflow's three keys to `config`, once, for the owner only. The environment would show them to `ps`."""
    if config.exists():
        return
    private(config.parent)
    fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    lines = ["[core]", f"fernet_key = {fernet_key}", "[api]", f"secret_key = {secrets.token_urlsafe(32)}"]
    lines += ["[api_auth]", f"jwt_secret = {secrets.token_urlsafe(64)}"]
    half = config.with_suffix(".new")
    with open(half, "w", opener=owner_only) as file:
        file.write("\n".join(lines) + "\n")
    half.replace(config)  # whole, or not at all: one without a key would be kept for ever
