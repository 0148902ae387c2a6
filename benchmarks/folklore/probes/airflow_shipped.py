"""What Airflow ships with, read in an empty home: defaults, trigger rules, and how its scheduler guards its queries.

Runs in Airflow's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

import airflow.jobs
from airflow.configuration import conf
from airflow.task.trigger_rule import TriggerRule


def sources() -> str:
    """Return the source of the jobs: the scheduler and what runs beside it."""
    return "\n".join(path.read_text() for folder in airflow.jobs.__path__ for path in sorted(Path(folder).glob("*.py")))


def main() -> None:
    """Print what was found."""
    text = sources()
    found = {
        "catchup_by_default": conf.getboolean("scheduler", "catchup_by_default"),
        "executor": conf.get("core", "executor"),
        "parallelism": conf.getint("core", "parallelism"),
        "scheduler_idle_sleep_s": conf.getfloat("scheduler", "scheduler_idle_sleep_time"),
        "min_file_process_interval_s": conf.getfloat("dag_processor", "min_file_process_interval"),
        "database": conf.get("database", "sql_alchemy_conn").partition(":")[0],
        "trigger_rules": sorted(TriggerRule.all_triggers()),
        "use_row_level_locking": conf.getboolean("scheduler", "use_row_level_locking"),
        "queries_with_row_locks": text.count("with_row_locks("),
        "mentions_of_a_leader": text.lower().count("leader"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
