"""The local settings of the lab's Airflow, which finds them by this file's name on the Python path."""

from __future__ import annotations

from airflow.api_fastapi.common.types import UIAlert
from airflow.sdk import DAG

from core.lab.protocol import TAXI_PIPELINE, further

NO_TRIGGERER = [
    UIAlert(
        text="The triggerer is red because none runs here: no task of `taxi_pipeline` is deferred, and it would take "
        "170 MB. Nothing is wrong.",
        category="info",
    )
]

DASHBOARD_UIALERTS = [] if further.packages() else NO_TRIGGERER
"""What the home page says at its top. Further pipelines have a triggerer."""


def dag_policy(dag: DAG) -> None:
    """Let the taxi pipeline's page announce no next run: in the lab, only its backfills and manual runs start.

    Those ignore its end date. Without further pipelines the scheduler starts no other run of any DAG.
    """
    if dag.dag_id == TAXI_PIPELINE.name:
        dag.end_date = dag.start_date
