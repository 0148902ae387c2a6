"""Chains in Dagster, each step a process that is forked from a server, which the run starts."""

from benchmarks.orchestrators.shapes import TASK_PROCESSES
from benchmarks.orchestrators.subjects.dagster_chains import FORKED, definitions

defs = definitions(TASK_PROCESSES, FORKED)
