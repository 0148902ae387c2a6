"""Tasks side by side in Dagster, each a process: its default executor."""

import dagster as dg

from benchmarks.orchestrators.shapes import TASK_PROCESSES
from benchmarks.orchestrators.subjects.dagster_wide import definitions

defs = definitions(TASK_PROCESSES, dg.multiprocess_executor)
