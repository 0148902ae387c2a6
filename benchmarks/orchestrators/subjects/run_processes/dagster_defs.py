"""Chains in Dagster, the steps of a run in its process."""

import dagster as dg

from benchmarks.orchestrators.shapes import RUN_PROCESSES
from benchmarks.orchestrators.subjects.dagster_chains import definitions

defs = definitions(RUN_PROCESSES, dg.in_process_executor)
