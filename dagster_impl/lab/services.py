"""Dagster's services on one machine: the files that they read, and the order in which they start."""

import sys
from collections.abc import Mapping
from pathlib import Path

from core.errors import RETRIES
from core.lab.protocol import (
    ONE_THREAD,
    Endpoint,
    Services,
    Step,
    Tuned,
    as_shipped,
    balanced,
    guards_as_shipped,
    several,
    write_json,
)
from core.run import TASK_TIMEOUT_S
from core.settings import private

STOCK_DAEMON_S = 30
"""The pause between two looks of Dagster's daemon at its backfills: a constant, without a setting."""
DAEMON_S = 1
"""The same of the daemon that the lab starts."""

BACKFILL_LOOP = Tuned("dagster.backfill_loop", f"{DAEMON_S} s", f"{STOCK_DAEMON_S} s")
DEQUEUE_INTERVAL = Tuned("dagster.dequeue_interval_seconds", "0.5", "5")
DEQUEUE_THREADS = Tuned("dagster.dequeue_use_threads", "true, 4 workers", "false")
RUN_START = Tuned("dagster.run_start_method", "forkserver, with all imported", "spawn")
TUNED = [BACKFILL_LOOP, DEQUEUE_INTERVAL, DEQUEUE_THREADS, RUN_START]
"""What is changed for speed alone; the environment may leave it as it is shipped (`core.lab.protocol.tuning`)."""

MAX_RUNTIME_S = (1 + RETRIES) * TASK_TIMEOUT_S
"""How long a run may take: the time-out of an attempt, times the attempts, because Dagster has none for an attempt.
Three downloads that each take their 1,800 s are an honest run of 5,400 s, before it has loaded anything."""

LAUNCHES, LAUNCH_DELAY_S = 30, 3
"""How often the launch of a queued run is tried again while its code server does not answer, and the pause. A daemon
that found none when it started looks for it again after 60 s only."""

LOOK_S = 15
MONITORING = {"enabled": True, "poll_interval_seconds": LOOK_S, "start_timeout_seconds": 60}
"""What looks after the runs, every 120 s as shipped: what was never started, and what has lost its process. A warm run
starts within a second, a cold one within 10 s."""

GUARDS = [
    Tuned("dagster.run_monitoring", f"on, every {LOOK_S} s, {MAX_RUNTIME_S} s for a run", "off"),
    Tuned("dagster.run_launcher", "asks the code server whether a run lives", "asks nobody"),
    Tuned("dagster.run_retries", f"{RETRIES}, of killed processes", "off"),
    Tuned("dagster.max_user_code_failure_retries", f"{LAUNCHES}, {LAUNCH_DELAY_S} s apart", "0"),
]
"""What decides when something lost is noticed, and whether it runs again."""

MAX_JOBS = 16
LOCATION = "triptych"
FURTHER = "further"
MODULE = "dagster_defs"
"""What a further pipeline's module is called (`core.lab.protocol.further`)."""

DEFINITIONS = {LOCATION: "dagster_impl.definitions", FURTHER: "dagster_impl.lab.further_pipelines"}
"""The module of each code location. The second one is there when a package of further pipelines is named."""

PORTS = {LOCATION: "code", FURTHER: "further"}
"""The name of each code server's port. The locations that there are, are those whose code server has been given one."""

DAEMON, WEB = "daemon", "webserver"

SCALABLE = {DAEMON: [], WEB: [f"{WEB}-{{n}}"]}
"""The services of which there can be several processes, and the ports that these need. Dagster's documentation allows
one daemon; the drills show what two do."""

# dagster._core.storage.tags.HIDDEN_TAG_PREFIX; the import would cost the runner 2 s.
HIDDEN_TAG_PREFIX = ".dagster/"


def jobs_tag(jobs: int) -> str:
    """Return the tag key that limits a backfill to `jobs` runs at a time: a key per number, a value per backfill.

    Dagster's pages do not show the tags with this prefix: a user could only wonder what it is.
    """
    return f"{HIDDEN_TAG_PREFIX}triptych-jobs-{min(jobs, MAX_JOBS)}"


def dagster_yaml() -> dict[str, object]:
    """Return the instance's settings; README.md has the reasons in a table. Everything else is Dagster's default."""
    limits = [
        {"key": jobs_tag(jobs), "value": {"applyLimitPerUniqueValue": True}, "limit": jobs}
        for jobs in range(1, MAX_JOBS + 1)
    ]
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "storage": {"postgres": {"postgres_url": {"env": "TRIPTYCH_DAGSTER_STORAGE"}}},
        "concurrency": {"runs": {"max_concurrent_runs": MAX_JOBS, "tag_concurrency_limits": limits}},
        **run_queue(),
        **guarded(),
        # What the pipeline logs, its warnings too, appears on the run's page among Dagster's own events.
        "python_logs": {"managed_python_loggers": ["core"], "python_log_level": "INFO"},
    }


def guarded() -> dict[str, object]:
    """Return what watches the runs and repeats those that are lost; nothing when that stays as it is shipped."""
    if guards_as_shipped():
        return {}
    return {
        "run_monitoring": {**MONITORING, "max_runtime_seconds": MAX_RUNTIME_S},
        # Without it, a run that is killed together with its code server stays STARTED until its time is over.
        "run_launcher": {"module": "dagster_impl.lab.run_launcher", "class": "WatchedRunLauncher"},
        # A killed process is retried. A step that failed has had its own retries, and a permanent error gets none.
        "run_retries": {"enabled": True, "max_retries": RETRIES, "retry_on_asset_or_op_failure": False},
    }


def run_queue() -> dict[str, object]:
    """Return how the daemon launches queued runs.

    One after the other, twelve runs take 22 s to launch; with threads, as long as the processors need.
    """
    left = as_shipped(TUNED)
    config: dict[str, object] = {}
    if DEQUEUE_THREADS.name not in left:
        config |= {"dequeue_use_threads": True, "dequeue_num_workers": 4}
    if not guards_as_shipped():
        # As shipped, a run whose code server is being restarted has failed.
        config |= {"max_user_code_failure_retries": LAUNCHES, "user_code_failure_retry_delay": LAUNCH_DELAY_S}
    if DEQUEUE_INTERVAL.name in left:
        return {"run_queue": config}
    return {
        "run_coordinator": {
            "module": "dagster_impl.lab.run_queue", "class": "QuickRunCoordinator", "config": config,
        }
    }  # fmt: skip


def locations(ports: Mapping[str, int]) -> list[str]:
    """Return the code locations that have been given a port."""
    return [location for location, port in PORTS.items() if port in ports]


def code_server(location: str, port: int) -> Step:
    """Return the code server of a location, as a process of its own: what one loads, no other sees."""
    # Lazily: a server that loads the definitions first ends when it can't, and takes the message with it.
    forking = [sys.executable, "-m", "dagster_impl.lab.code_server"]
    program = ["dagster"] if RUN_START.name in as_shipped(TUNED) else forking
    command = [*program, "api", "grpc", "--lazy-load-user-code", "-m", DEFINITIONS[location]]
    where = ["--location-name", location, "-h", "127.0.0.1", "-p", str(port)]
    return Step(start=[*command, *where], name="code-server" if location == LOCATION else f"{location}-code-server")


def write_files(home: Path, ports: Mapping[str, int], host: str = "127.0.0.1") -> Path:
    """Write dagster.yaml and workspace.yaml into `home` (YAML reads JSON), and return the workspace file.

    The code servers listen on the `ports` of `host`: in docker-compose.yml, that of their container.
    Each is replaced as a whole: when one service is restarted, the others may be reading them.
    """
    private(home)
    write_json(home / "dagster.yaml", dagster_yaml())
    workspace = home / "workspace.yaml"
    servers = [
        {"grpc_server": {"host": host, "port": ports[PORTS[location]], "location_name": location}}
        for location in locations(ports)
    ]
    write_json(workspace, {"load_from": servers})
    return workspace


def daemon_s() -> int:
    """Return the pause between two looks of the daemon at its backfills, in seconds."""
    return STOCK_DAEMON_S if BACKFILL_LOOP.name in as_shipped(TUNED) else DAEMON_S


def daemon_command(workspace: Path) -> list[str]:
    """Return the command of the daemon, with the backfill loop that the settings ask for."""
    patched = [sys.executable, "-m", "dagster_impl.lab.daemon", str(DAEMON_S)]
    return [*(["dagster-daemon"] if daemon_s() == STOCK_DAEMON_S else patched), "run", "-w", str(workspace)]


def daemon_note() -> str:
    """Return what a reader of a backfill's seconds must know of the daemon."""
    stock = daemon_s() == STOCK_DAEMON_S
    said = " (stock)" if stock else f" instead of the stock {STOCK_DAEMON_S} s"
    return f"backfill daemon loop {daemon_s()} s{said}"


def services(endpoint: Endpoint) -> Services:
    """Return the code server of each location, the daemon and the web server, all on the loopback."""
    home, ports = Path(endpoint.home), endpoint.ports
    workspace = write_files(home, ports)
    web = endpoint.address("web")
    page = ["dagster-webserver", "-h", "127.0.0.1", "-w", str(workspace)]
    steps = [
        # First and alone: of several services that create the tables of a new database at once, all but one may fail.
        Step(run=["dagster", "instance", "migrate"], name="instance-migrate", once=True),
        *(code_server(location, ports[PORTS[location]]) for location in locations(ports)),
        *several(Step(start=daemon_command(workspace), name=DAEMON), endpoint.scale.get(DAEMON, 1)),
        *balanced(Step(start=page, name=WEB), "web", endpoint),
        Step(wait=f"{web}/server_info"),
    ]
    env = {
        **ONE_THREAD,
        "DAGSTER_HOME": str(home),
        # A run that takes longer to launch is marked as failed, and executed all the same: 60 s were too few at 35
        # times the load of a quiet machine.
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
        # psycopg2 by name: SQLAlchemy 2.1 reads a plain postgresql:// as psycopg 3, with which Dagster's NOTIFY fails.
        "TRIPTYCH_DAGSTER_STORAGE": "postgresql+psycopg2://${METADATA}",
    }
    return Services(env=env, steps=steps, web=web)
