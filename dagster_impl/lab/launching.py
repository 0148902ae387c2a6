"""Launch one run of a job, once, even when the answer to an attempt is lost."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from core.waiting import patiently
from dagster_impl.lab import queries
from dagster_impl.lab.client import Client
from dagster_impl.lab.services import HIDDEN_TAG_PREFIX


def launched(client: Client, selector: Mapping[str, Any], tags: Sequence[Mapping[str, Any]], config: Any) -> str:
    """Launch a run of the job that `selector` names, and return its id; `config` is a mapping, or YAML."""
    ours = {"key": f"{HIDDEN_TAG_PREFIX}triptych-request", "value": uuid.uuid4().hex}
    params = {"selector": selector, "executionMetadata": {"tags": [ours, *tags]}, "runConfigData": config}

    def attempt() -> str:
        # An earlier attempt whose answer was lost may have launched the run: then one has our tag.
        if found := client.one(queries.RUNS, {"filter": {"tags": [ours]}, "limit": 1}, "Runs")["results"]:
            return str(found[0]["id"])
        return str(client.once(queries.LAUNCH_RUN, {"params": params}, "LaunchRunSuccess")["run"]["id"])

    return patiently(attempt, client.patience_s)
