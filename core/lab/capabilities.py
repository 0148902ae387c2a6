"""What an orchestrator may be able to do. Each says in `describe` which of these it has; tests ask for a capability, never for a name."""

from __future__ import annotations

CAPABILITIES = {
    "services": "needs long-lived services of its own; without it a backfill is one process",
    "web": "its services show runs on a web page",
    "native_backfill": "the tool itself turns a range of months into runs, and knows them as one backfill",
    "native_partitions": "the month is a partition that the tool knows, not a parameter that only we understand",
    "concurrent_backfills": "two backfills at once on the same services run side by side, instead of one after the other",
    "asset_lineage": "the tables and what they are made from are drawn by the tool",
    "asset_checks": "dbt's test results are recorded as checks of the tables",
    "per_month_retry": "one month can be run again from the tool's own pages, without the others",
    "survives_worker_kill": "when the process of a step is killed with SIGKILL, the tool runs the month again by itself",
}
"""Name -> meaning, in one line."""
