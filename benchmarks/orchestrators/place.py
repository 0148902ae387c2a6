"""Where a benchmark of orchestrators runs: a state folder of its own, and the facts of the run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from core.lab.postgres import Postgres
from core.lab.protocol.further import VARIABLE as PIPELINES
from core.lab.registry import BASELINE, Orchestrator, select
from core.lab.session import Lab
from core.settings import Settings, settings

SUBJECTS = {PIPELINES: "benchmarks.orchestrators.subjects"}
"""The variable with which the orchestrators load the benchmarks' own pipelines."""


@contextmanager
def state() -> Iterator[Settings]:
    """Yield settings with a state folder of their own and an embedded server; at the end both are deleted."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=home) as folder:
        at = replace(settings(), home=Path(folder) / "state", dsn=None)
        try:
            yield at
        finally:
            # As root, the cluster lies outside the temporary folder.
            Postgres(at.home / "postgres").wipe()


def with_services(names: str, at: Settings) -> list[Orchestrator]:
    """Return the orchestrators that are named, comma separated or ``all``, without the baseline."""
    return [each for each in select(names, at) if each.name != BASELINE]


def passing_on(at: Settings, variables: Mapping[str, str]) -> Settings:
    """Return the settings with variables that the orchestrators' processes get besides the others."""
    return replace(at, passed_on={**at.passed_on, **variables})


def facts(at: Settings, chosen: Iterable[Orchestrator]) -> dict[str, Any]:
    """Return the facts of the run, with the version of each orchestrator."""
    with measure.server() as server:
        found = measure.facts(server, ["psycopg", "pyarrow"], Path(sys.executable))
    with Lab(at) as lab:
        versions = {each.name: lab.stack(each).description.version for each in chosen if each.name != "plain"}
    return {**found, "versions": {**found["versions"], **versions}}


def settings_of(at: Settings, chosen: Iterable[Orchestrator]) -> list[dict[str, Any]]:
    """Return the settings that each adapter changes for speed alone: name, value, and what is shipped."""
    with Lab(at) as lab:
        return [tuned.to_json() for each in chosen for tuned in lab.stack(each).description.tuned]
