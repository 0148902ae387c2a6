"""A load that a schedule starts; and, in Prefect, a flow that deploys it again."""

from core.lab.protocol import Pipeline

LOAD, DEPLOY = "redeployed_schedule", "redeployed_schedule_deploy"

PACE_S = 7
"""The time from one deploy to the next: no divisor of an interval, so that each tick has another one."""

PIPELINES = [Pipeline(name=LOAD, tasks=["load_tick"], main="load_tick", month="none")]
