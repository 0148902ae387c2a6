"""What each step read and wrote, told as OpenLineage events to whoever keeps a catalog (docs/guide/lineage.md).

    step                               a step's run: START when it begins, then COMPLETE, FAIL or ABORT
    file, table, published, tested     the datasets that a step names, and what it knows of them

Nothing is sent unless the environment says where to (`core.settings`), and then OpenLineage's own client sends it. An
event tells of what is committed already, and no load waits for one or fails because of one.

    facts.py    what a step tells, without OpenLineage        events.py   the same as typed OpenLineage events
    steps.py    the runs of a step and of its models          sending.py  the thread that sends them
"""

from core.lineage.facts import Dataset, file, published, table, tested
from core.lineage.steps import Step, step

__all__ = ["Dataset", "Step", "file", "published", "step", "table", "tested"]
