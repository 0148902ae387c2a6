"""The pipelines of the question: runs that fail, die, are late or load nothing, and a table that gets old."""

from __future__ import annotations

from core.lab.protocol import Pipeline

FAILING, DYING, LATE, TABLE = "alerts_failing", "alerts_dying", "alerts_late", "alerts_table"
LATE_BUT_ENDED = "alerts_late_but_ended"
UNCHECKED, CHECKED = "alerts_unchecked", "alerts_checked"

FAIL = (FAILING, DYING, UNCHECKED, CHECKED)
"""The pipelines whose failures are told."""

MAY_BE_LATE = (LATE, LATE_BUT_ENDED)
"""The pipelines that have a deadline."""

PIPELINES = [
    Pipeline(name=FAILING, tasks=["fail"], main="fail", month="none"),
    Pipeline(name=DYING, tasks=["die"], main="die", month="none"),
    Pipeline(name=LATE, tasks=["wait"], main="wait", month="none"),
    Pipeline(name=LATE_BUT_ENDED, tasks=["wait_and_end"], main="wait_and_end", month="none"),
    Pipeline(name=TABLE, tasks=["update_table"], main="update_table", month="none"),
    Pipeline(name=UNCHECKED, tasks=["load", "use"], main="load", month="none"),
    Pipeline(name=CHECKED, tasks=["load_checked", "use_checked"], main="load_checked", month="none"),
]
