"""Tasks side by side in Dagster, in the process of the run."""

import dagster as dg

from benchmarks.orchestrators.shapes import RUN_PROCESSES
from benchmarks.orchestrators.subjects.dagster_wide import definitions

defs = definitions(RUN_PROCESSES, dg.in_process_executor)
