"""What the process of each run finds imported: `dagster_impl.lab.code_server` forks it from one that has done so.

None of these imports may leave a thread or a connection behind: a forked process has neither.
"""

import gc
import os

import dagster._core.launcher.default_run_launcher
import dagster._core.run_coordinator.queued_run_coordinator
import dagster._core.storage.local_compute_log_manager
import dagster._grpc.impl  # noqa: F401
import dagster_postgres.storage  # noqa: F401

import core.extract
import core.load  # noqa: F401
from core.lab.protocol import end_with_parent
from dagster_impl.definitions import defs

os.register_at_fork(after_in_child=end_with_parent)

# This imports the modules of `defs/`. A run loads the definitions for itself.
defs()

# What is there now stays: a collection in a run would copy its pages.
gc.collect()
gc.freeze()
