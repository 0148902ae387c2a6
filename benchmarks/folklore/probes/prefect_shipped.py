"""What Prefect ships with: its worker's poll, its database, and which paths of its server's API are of backfills.

Runs in Prefect's environment, and prints one line of JSON.
"""

from __future__ import annotations

import json

from prefect.server.api.server import create_api_app
from prefect.settings import get_current_settings


def main() -> None:
    """Print what was found."""
    settings = get_current_settings()
    address = settings.server.database.connection_url
    paths = create_api_app().openapi()["paths"]
    found = {
        "worker_query_s": settings.worker.query_seconds,
        "database": (address.get_secret_value() if address else "").partition("+")[0],
        "paths": len(paths),
        "paths_of_backfills": sum("backfill" in path for path in paths),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
