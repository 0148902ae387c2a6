"""What the process of each task finds imported: Airflow's fork server imports it before it forks the first worker.

It is named in ``[core] mp_forkserver_preload``. None of these modules may leave a thread behind.
"""

import gc
from importlib import import_module

MODULES = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.serialization.serialized_objects",
    "airflow.triggers.external_task",
    "airflow.version",
    "encodings.idna",
    "core.load",
    "core.pipeline",
    # For what they import, which Airflow resolves lazily. A task parses its DAG's file itself: an edit is seen at once.
    "airflow_impl.dags.taxi_pipeline",
    "airflow_impl.dags.taxi_range",
)

for module in MODULES:
    import_module(module)

# What is there now stays: a collection in a task's process would copy its pages. LocalExecutor does the same for the
# start method "fork" alone.
gc.collect()
gc.freeze()
