"""What each process of an orchestrator does: its role in the runner protocol, or one of this module's.

    run        what began below the service that starts runs, after the services took work: workers, runs, tasks
    database   PostgreSQL: the orchestrator's metadata and the warehouse
    dbt        the lab's warm dbt server and the builds that it serves
    lab        this benchmark and the calls of the lab's runner

A service counts with its role, and so does what it starts, unless that is a run. The baseline has no services, and what
the lab's runner does for it is its run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.lab import processes
from core.lab.postgres import Postgres
from core.lab.registry import Orchestrator
from core.lab.runs import Runs
from core.lab.session import Lab
from core.settings import Settings
from core.transform.dbt_client import server_folder

RUN, LAB, DATABASE, DBT = "run", "lab", "database", "dbt"

STARTS_RUNS = {"airflow": "scheduler", "dagster": "code server", "prefect": "worker"}
"""The role of the service below which an orchestrator's runs are."""

ROLES = ("scheduler", "daemon", "code server", "worker", "triggerer", "API", RUN, LAB, DATABASE, DBT)
"""All roles, in the order of the pages."""


@dataclass(frozen=True)
class Roles:
    """The services as they are when they take work: each of their processes by its pid, with its role."""

    owner: Path
    services: Mapping[int, str]
    starts_runs: str | None
    roots: Mapping[str, psutil.Process]
    """The processes below which all of another role are: those of `DATABASE` and of `DBT`."""

    @classmethod
    def of(cls, lab: Lab, orchestrator: Orchestrator, at: Settings) -> Roles:
        """Return the roles in a session in which the services of the orchestrator run."""
        owner = at.home / orchestrator.name
        services = {each.identity.pid: each.record.role for each in Runs(lab, orchestrator).processes()}
        known: dict[int, str] = {}
        for process in processes.members(owner):
            if chosen := [services[pid] for pid in _chain(process) if pid in services]:
                known[process.pid] = chosen[0]
        database = Postgres(at.home / "postgres").running()
        warm = processes.leaders(server_folder(at.home))
        found = {DATABASE: database and database.process, DBT: warm[0].process() if warm else None}
        roots = {role: process for role, process in found.items() if process}
        return cls(owner, known, STARTS_RUNS.get(orchestrator.name), roots)

    def started(self) -> Iterator[psutil.Process]:
        """Yield the processes of the services that still live."""
        for pid in self.services:
            with suppress(psutil.NoSuchProcess):
                yield psutil.Process(pid)

    @property
    def has_services(self) -> bool:
        """Whether anything runs between two backfills."""
        return bool(self.services)

    def of_process(self, process: psutil.Process) -> str:
        """Return the role of a process of the orchestrator. One that nothing known has started is a run's."""
        own = self.services.get(process.pid)
        if own:
            return own
        above = next((self.services[pid] for pid in _chain(process) if pid in self.services), None)
        if above:
            return RUN if above == self.starts_runs else above
        return LAB if self.has_services and psutil.Process().pid in _chain(process) else RUN

    def of_ended(self, role: str) -> str:
        """Return the role of what processes of a role have started and waited for."""
        return RUN if role == self.starts_runs else role


def _chain(process: psutil.Process) -> Iterator[int]:
    """Yield the pid of a process, and then those of all above it."""
    with suppress(psutil.Error):
        yield process.pid
        for parent in process.parents():
            yield parent.pid
