"""The verbs for schedules, for a runner whose adapter has a module of functions that use its client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from core.lab.protocol.requests import ScheduleRequest, TicksRequest
from core.lab.protocol.serving import Verb, with_client

Json = dict[str, Any]
Client = TypeVar("Client")
Client_contra = TypeVar("Client_contra", contravariant=True)


class Schedules(Protocol[Client_contra]):
    """What such a module has: ``<orchestrator>_impl/lab/schedules.py``."""

    def switch(self, client: Client_contra, wanted: ScheduleRequest, /) -> None:
        """Turn a schedule on, or pause it. Whatever it has started goes on."""

    def catch_up(self, client: Client_contra, wanted: TicksRequest, /) -> list[str]:
        """Start a run for each past date of a schedule, and return the ids of those that were new."""


def schedule_verbs(
    connected: Callable[[Json], AbstractContextManager[Client]], schedules: Schedules[Client]
) -> dict[str, Verb]:
    """Return the verbs for schedules by name; `connected` returns a client of the services at an endpoint."""

    return {
        "schedule": with_client(connected, ScheduleRequest, lambda client, wanted, _: schedules.switch(client, wanted)),
        "catch_up": with_client(
            connected, TicksRequest, lambda client, wanted, _: {"run_ids": schedules.catch_up(client, wanted)}
        ),
    }
