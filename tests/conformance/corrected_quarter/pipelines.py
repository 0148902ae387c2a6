"""A load of a month, and the roll-up of its quarter because of it."""

from core.lab.protocol import Pipeline

LOAD, ROLL_UP = "corrected_quarter_load", "corrected_quarter_roll_up"

PIPELINES = [
    Pipeline(name=LOAD, tasks=["quarter_trips"], main="quarter_trips", month="required"),
    Pipeline(name=ROLL_UP, tasks=["quarter_mart"], main="quarter_mart", month="optional"),
]
