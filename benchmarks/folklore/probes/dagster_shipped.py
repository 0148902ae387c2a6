"""How often Dagster's daemon looks at its backfills, and which settings of an instance concern them.

Runs in Dagster's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json
from typing import Any

from dagster._core.instance.config import dagster_instance_config_schema
from dagster._daemon.controller import DEFAULT_DAEMON_INTERVAL_SECONDS


def main() -> None:
    """Print what was found."""
    backfills: Any = dagster_instance_config_schema()["backfills"]
    print(json.dumps({"interval_s": DEFAULT_DAEMON_INTERVAL_SECONDS, "settings": sorted(backfills.config_type.fields)}))


if __name__ == "__main__":
    main()
