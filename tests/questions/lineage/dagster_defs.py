"""Dagster's producer as a user adds it: a sensor that reads the log of all runs and assets, and sends what it finds."""

import dagster as dg

try:
    from dagster_openlineage import openlineage_sensor
except ImportError:
    # It is not among the pins: only this question's own services find it (producers.py).
    defs = dg.Definitions()
else:
    sensor = openlineage_sensor(include_asset_events=True, minimum_interval_seconds=1, record_filter_limit=500)
    defs = dg.Definitions(sensors=[sensor])
