"""The load, the dbt project with its one model, and how dbt is run: it has an environment of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from psycopg import sql

from core import database
from core.settings import private, settings
from core.transform import dbt

VERSIONS = {
    "first": [("2024-01-01", "Queens", 3), ("2024-01-01", None, 2), ("2024-01-01", "Bronx", 1)],
    "corrected": [("2024-01-01", "Queens", 4), ("2024-01-01", None, 5)],
}
"""What is published of January: the day, the borough, and how many trips."""

PROJECT = """
name: null_key
profile: triptych
flags: {send_anonymous_usage_stats: false, use_colors: false}
"""

MODEL = """
{{ config(materialized='incremental', unique_key=['day', 'borough'], incremental_strategy='delete+insert') }}
select day, borough, trips from "{{ target.schema }}".published
"""


def publish(schema: str, version: str) -> None:
    """Put a version of January in place of what was published before."""
    with database.connect("conformance null_key") as connection, connection.transaction():
        place = sql.Identifier(schema)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(place))
        table = sql.Identifier(schema, "published")
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (day date, borough text, trips int)").format(table))
        connection.execute(sql.SQL("TRUNCATE {}").format(table))
        for row in VERSIONS[version]:
            connection.execute(sql.SQL("INSERT INTO {} VALUES (%s, %s, %s)").format(table), row)


def build(schema: str) -> None:
    """Build the model with dbt; raise `RuntimeError` with its output when it fails."""
    folder = private(settings().home / "null_key" / schema)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "models" / "trips_by_day.sql").write_text(MODEL)
    with database.connect("conformance null_key") as connection:
        environment = dbt.environment(connection.info, schema, None)
    run_dbt(folder, environment)


def run_dbt(folder: Path, environment: dict[str, str]) -> None:
    """Run dbt on the project in `folder`."""
    words = [str(settings().dbt), "run", "--project-dir", str(folder), "--profiles-dir", str(dbt.PROJECT)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"dbt has failed: {done.stdout[-500:]}")
