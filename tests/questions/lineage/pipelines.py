"""The question starts the taxi pipeline. Dagster's services get one thing more: the sensor in dagster_defs.py."""

from __future__ import annotations

from core.lab.protocol import Pipeline

PIPELINES: list[Pipeline] = []
