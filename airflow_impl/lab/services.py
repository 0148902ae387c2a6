"""Airflow's services on one machine: what is started, and each setting with its reason (README.md shows the table)."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from core.lab.protocol import (
    ONE_THREAD,
    TAXI_PIPELINE,
    TAXI_RANGE,
    Endpoint,
    Pipeline,
    Services,
    Step,
    Tuned,
    as_shipped,
    balanced,
    further,
    guards_as_shipped,
    several,
)
from core.settings import owner_only, private

DAGS = Path(__file__).resolve().parent.parent / "dags"

LOCAL_SETTINGS = Path(__file__).resolve().parent / "local_settings"
"""Where Airflow finds `airflow_local_settings.py`: what its pages say of next runs and of the triggerer."""

PRELOADED = "airflow_impl.lab.preload"
"""What each process of a task finds imported. An edit of `core` is seen once the scheduler has started again."""

SETTINGS = {
    "CORE__MP_START_METHOD": (
        "forkserver",
        "a worker, and each task that it forks, begins with the modules of the next line imported",
    ),
    "CORE__MP_FORKSERVER_PRELOAD": (
        PRELOADED,
        "without them, each task of a month imports Arrow and psycopg for itself",
    ),
    "CORE__PARALLELISM": (
        "16",
        "a worker stays taken for up to a heartbeat after its task: with 8, short tasks wait for one",
    ),
    "WORKERS__MIN_HEARTBEAT_INTERVAL": (
        "1",
        "whoever waits for a task's process looks again after so long, not after 5 s, when it has missed its end",
    ),
    "CORE__LOAD_EXAMPLES": ("False", "only our DAGs"),
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": ("False", "a paused DAG leaves the runs of a backfill queued for ever"),
    "CORE__HOSTNAME_CALLABLE": ("socket.gethostname", "the default asks DNS, which a machine may not have"),
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": ("True", "no login, because the server listens on loopback only"),
    "API__HOST": ("127.0.0.1", "the default is 0.0.0.0"),
    "API__MAXIMUM_PAGE_LIMIT": ("1000", "all runs of any backfill in one response; the default of 100 is 8 years"),
    "LOGGING__NAMESPACE_LEVELS": ("http.access=WARNING", "no log line for each heartbeat and each poll"),
    "SCHEDULER__USE_JOB_SCHEDULE": (
        "False",
        "only backfills and manual runs; True starts the latest scheduled run, and asset-triggered runs, too",
    ),
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": ("0.1", "the next task starts 0.2 s after its upstream, not 1 s"),
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": ("30", "a lost worker is noticed in 30 s, not in 300 s"),
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": (
        "3",
        "how often the scheduler checks for lost workers; the default is 10 s",
    ),
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": (
        "60",
        "a busy machine delayed heartbeats by 17 s; a scheduler called dead has its running tasks reset",
    ),
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": (
        "10",
        "a restarted scheduler adopts the tasks of the one before it in 10 s, not in 300 s",
    ),
    "WORKERS__EXECUTION_API_TIMEOUT": (
        "60",
        "the default of 5 s is too short when every core is busy: a first call took 24 s",
    ),
    "WORKERS__EXECUTION_API_RETRIES": ("8", "a task waits for a restarting API server for a minute, not for 15 s"),
    "DAG_PROCESSOR__PARSING_PROCESSES": ("1", "there is one DAG file, or a few"),
    "DAG_PROCESSOR__REFRESH_INTERVAL": ("10", "an edited DAG file is seen in 10 s, not in 300 s"),
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": ("600", "an unchanged DAG file is not parsed every 30 s"),
    "DAG_PROCESSOR__PRINT_STATS_INTERVAL": ("0", "no table of one DAG file in the log every 30 s"),
}
"""Each option with its value and the reason for it. Everything else is Airflow's default."""

SHIPPED = {
    "CORE__MP_START_METHOD": "fork",
    "CORE__PARALLELISM": "32",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
}
"""Those of them that change only how fast things go, with Airflow's default. Preloading goes with the start method."""

GUARDS = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "300",
    "WORKERS__EXECUTION_API_TIMEOUT": "5",
    "WORKERS__EXECUTION_API_RETRIES": "5",
}
"""Those that decide when something lost is noticed, and whether it runs again, with Airflow's default."""

API, SCHEDULER = "api-server", "scheduler"

SCALABLE = {SCHEDULER: [], API: [f"{API}-{{n}}"]}
"""The services of which there can be several processes, and the ports that these need."""

LOCAL = "airflow.dag_processing.bundles.local.LocalDagBundle"
"""The class of a DAG bundle that is a folder of this machine."""


def pipelines() -> list[Pipeline]:
    """Return the pipelines whose DAGs are loaded: the taxi pipeline's two, and those of TRIPTYCH_PIPELINES."""
    return [TAXI_PIPELINE, TAXI_RANGE, *further.pipelines("airflow_dags")]


def for_further_pipelines() -> dict[str, str]:
    """Return the options that further pipelines need; none without them.

    Each package is a DAG bundle, whose ``.airflowignore`` says that only files called ``airflow_dags.py`` hold DAGs.
    """
    packages = further.packages()
    if not packages:
        return {}
    bundles = [{"name": "dags-folder", "classpath": LOCAL, "kwargs": {}}]
    bundles += [{"name": name, "classpath": LOCAL, "kwargs": {"path": str(path)}} for name, path in packages.items()]
    return {
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        # They have schedules, and are started by assets.
        "SCHEDULER__USE_JOB_SCHEDULE": "True",
    }


def tuned() -> list[Tuned]:
    """Return the settings that are changed for speed alone."""
    return [Tuned(setting(option), SETTINGS[option][0], shipped) for option, shipped in SHIPPED.items()]


def guards() -> list[Tuned]:
    """Return the settings that decide when something lost is noticed."""
    return [Tuned(setting(option), SETTINGS[option][0], shipped) for option, shipped in GUARDS.items()]


def setting(option: str) -> str:
    """Return the name of an option among the settings of all orchestrators: ``airflow.core_parallelism``."""
    return f"airflow.{option.replace('__', '_').lower()}"


def options() -> dict[str, str]:
    """Return the options of `SETTINGS`, without those that the environment leaves as they are shipped."""
    left = as_shipped(tuned()) | ({each.name for each in guards()} if guards_as_shipped() else set())
    return {option: value for option, (value, _) in SETTINGS.items() if setting(option) not in left}


def services(endpoint: Endpoint) -> Services:
    """Return how to bring Airflow up at `endpoint`: metadata in PostgreSQL, three processes, one port; or more of some.

    Further pipelines may defer tasks, so with them there is a fourth process: the triggerer.
    """
    home, url = Path(endpoint.home), base_url(endpoint)
    keep_secrets(home / "airflow.cfg")
    placed = {
        "CORE__DAGS_FOLDER": str(DAGS),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__BASE_URL": url,
        "DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://${METADATA}",
    }
    every = placed | options() | for_further_pipelines()
    triggerer = [Step(start=["airflow", "triggerer", "--skip-serve-logs"], name="triggerer")]
    return Services(
        env={"AIRFLOW_HOME": str(home), "PYTHONPATH": python_path(), **ONE_THREAD}
        | {f"AIRFLOW__{option}": value for option, value in every.items()},
        steps=[
            Step(run=["airflow", "db", "migrate"], name="db-migrate", once=True),
            *balanced(Step(start=["airflow", "api-server"], name=API), "api", endpoint),
            # Without a log server: the API server reads the logs from the home that they share.
            *several(
                Step(start=["airflow", "scheduler", "--skip-serve-logs"], name="scheduler"),
                endpoint.scale.get(SCHEDULER, 1),
            ),
            Step(start=["airflow", "dag-processor"], name="dag-processor"),
            *(triggerer if further.packages() else []),
            # The first request builds the execution API in 6 CPU s, longer than a task waits by default.
            Step(wait=f"{url}/execution/health"),
        ],
        web=url,
    )


def python_path() -> str:
    """Return where the services find modules besides the checkout: our local settings, and what the caller has."""
    return os.pathsep.join(filter(None, [str(LOCAL_SETTINGS), os.environ.get("PYTHONPATH")]))


def base_url(endpoint: Endpoint) -> str:
    """Return the API server's address."""
    return endpoint.address("api")


def keep_secrets(config: Path) -> None:
    """Write Airflow's three keys to `config`, once, for the owner only. In the environment, `ps` would show them."""
    if config.exists():
        return
    private(config.parent)
    fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    lines = ["[core]", f"fernet_key = {fernet_key}", "[api]", f"secret_key = {secrets.token_urlsafe(32)}"]
    lines += ["[api_auth]", f"jwt_secret = {secrets.token_urlsafe(64)}"]
    half = config.with_suffix(".new")
    with open(half, "w", opener=owner_only) as file:
        file.write("\n".join(lines) + "\n")
    # Written as a whole or not at all: a file that lacks a key would stay so, because it is never written again.
    half.replace(config)
