"""Parse one DAG file several times, as Airflow's DAG processor does, and count what is executed.

Runs in Airflow's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag

PARSES = 3

DAG_FILE = """
from pathlib import Path

from airflow.sdk import dag, task

with Path(__file__).with_name("top_level").open("a") as file:
    file.write("x")

@dag(schedule=None)
def parsed():
    @task
    def work():
        with Path(__file__).with_name("in_task").open("a") as file:
            file.write("x")
    work()

parsed()
"""


def executions(folder: Path, name: str) -> int:
    """Return how often the code that writes the file `name` was executed."""
    path = folder / name
    return path.stat().st_size if path.exists() else 0


def main() -> None:
    """Print what was found."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "dags.py").write_text(DAG_FILE)
        for _ in range(PARSES):
            # The call of airflow.dag_processing.processor
            bag = BundleDagBag(dag_folder=str(folder / "dags.py"), bundle_path=folder, bundle_name="folklore")
            assert list(bag.dags) == ["parsed"], bag.import_errors
        found = {
            "parses": PARSES,
            "top_level_executions": executions(folder, "top_level"),
            "task_executions": executions(folder, "in_task"),
            "every_s": conf.getfloat("dag_processor", "min_file_process_interval"),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
