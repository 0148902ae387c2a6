"""The pipeline of the question: three tasks that end as they are told, and after them a task for each rule."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

UPSTREAMS = ("first", "second", "third")
"""The tasks that end as they are told, in the order in which they end."""

ENDS = ("success", "failed", "skipped")

RULES = (
    "all_success", "all_failed", "all_done", "one_success", "one_failed", "none_failed", "none_failed_min_one_success",
    "none_skipped", "all_skipped", "one_done", "all_done_min_one_success", "all_done_setup_success", "always",
)  # fmt: skip
"""Airflow's names of the rules, which are also the names of the tasks that follow them."""

PIPELINES = [
    Pipeline(
        name="trigger_rules",
        tasks=[*UPSTREAMS, *RULES],
        main="first",
        month="none",
        parameters={
            name: Parameter(f"How the task `{name}` ends", default="success", choices=list(ENDS)) for name in UPSTREAMS
        },
    )
]
