"""Register the deployments of further pipelines (`core.lab.protocol.further`): a step of bringing the services up.

    python -m prefect_impl.lab.further_pipelines

Each module ``prefect_flows`` has a list `deployments` of what ``flow.to_deployment("triptych", ...)`` returns, with its
schedules, triggers, tags and limits. A flow has the name of its pipeline, as in ``@flow(name="load_month")``. The
module says nothing of where they run: that is as in prefect.yaml, but in a work queue of their own, without the limit
of the months. One that is started by the hundred names the queue of the months instead, to have that limit.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with Prefect, without types
from prefect.deployments.runner import RunnerDeployment

import prefect_impl
from core.errors import UsageError
from core.lab.protocol import further
from prefect_impl.lab.client import DEPLOYMENT
from prefect_impl.lab.services import command

QUEUE = "further"


def main() -> int:
    """Register all of them, and return 0, or 1 when a module can't be imported or lacks one."""
    try:
        found = [placed(module, each) for module in further.modules("prefect_flows") for each in declared(module)]
        check_names({each.full_name for each in found})
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    for deployment in found:
        deployment.apply()
    return 0


def declared(module: str) -> Iterable[RunnerDeployment]:
    """Return the deployments of a module; raise `UsageError` naming one that has none or can't be imported."""
    try:
        deployments: Iterable[RunnerDeployment] = import_module(module).deployments
    except Exception as error:
        words = " ".join(str(error).split())
        raise UsageError(f"{module} can't be loaded: {type(error).__name__}: {words}") from error
    return deployments


def check_names(deployed: Collection[str]) -> None:
    """Raise `UsageError` naming a pipeline that has no deployment."""
    for pipeline in further.pipelines("prefect_flows"):
        if (wanted := f"{pipeline.name}/{DEPLOYMENT}") not in deployed:
            # Prefect's own name for `def load_month` is load-month.
            raise UsageError(
                f'there is no deployment {wanted}: is its flow declared with @flow(name="{pipeline.name}")?'
            )


def placed(module: str, deployment: RunnerDeployment) -> RunnerDeployment:
    """Return a deployment of a flow of `module` with its place: where its code is, and what runs it."""
    pool = work_pool()
    # A file's path, which is what `to_deployment` writes, would have the worker copy the code before each run.
    function = re.split("[.:]", str(deployment.entrypoint))[-1]
    deployment.entrypoint = f"{module}.{function}"
    deployment.work_pool_name = pool["name"]
    deployment.work_queue_name = deployment.work_queue_name or QUEUE
    deployment.job_variables = {**pool["job_variables"], **deployment.job_variables}
    return deployment


def work_pool() -> dict[str, Any]:
    """Return the name of the work pool and the job variables: prefect.yaml's, with the command of all runs."""
    content = yaml.safe_load(Path(prefect_impl.__path__[0], "prefect.yaml").read_text())
    pool: dict[str, Any] = content["definitions"]["pool"]
    del pool["job_variables"]["command"]
    if wanted := command():
        pool["job_variables"]["command"] = wanted
    return pool


if __name__ == "__main__":
    sys.exit(main())
