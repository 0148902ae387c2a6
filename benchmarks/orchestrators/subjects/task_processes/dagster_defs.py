"""Chains in Dagster, each step a process of its own: its default executor."""

import dagster as dg

from benchmarks.orchestrators.shapes import TASK_PROCESSES
from benchmarks.orchestrators.subjects.dagster_chains import definitions

defs = definitions(TASK_PROCESSES, dg.multiprocess_executor)
