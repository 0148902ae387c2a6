"""Chains in Dagster with its executor as shipped: each step is a new interpreter, which loads the definitions."""

import dagster as dg

from benchmarks.orchestrators.shapes import TASK_INTERPRETERS
from benchmarks.orchestrators.subjects.dagster_chains import definitions

defs = definitions(TASK_INTERPRETERS, dg.multiprocess_executor)
