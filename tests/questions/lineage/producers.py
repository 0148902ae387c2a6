"""The producers of lineage that others publish, each as its README says: installed, switched on, and asked for events.

None of them is among the pins: Airflow's would be imported by each of its processes, and change what everything else
measures. So each lies in a folder of its own, which only the services of this question have on their path.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.database import connect
from core.lab.environments import QUIET, bootstrap
from core.lab.registry import BASELINE, orchestrators
from core.settings import ROOT
from core.transform import dbt
from tests.contract.bench import QUESTIONS, Bench

VERSION = "1.54.0"
"""Of the packages that OpenLineage releases together."""

DBT_CLIENT = (
    f"openlineage-python=={VERSION}", "httpx2==2.16.2", "httpcore2==2.16.2", "truststore==0.10.5", "anyio==4.16.0",
    "h11==0.16.0", "tqdm==4.70.1",
)  # fmt: skip
"""What the loaders have among their pins, and dbt has not."""

Switch = Callable[[Bench, str], AbstractContextManager[None]]


@contextmanager
def sensor_running(bench: Bench, orchestrator: str) -> Iterator[None]:
    """Turn Dagster's sensor on, as its page does: a sensor is off when it is new."""
    running = bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator]).start()
    selector = '{repositoryName: "lineage", repositoryLocationName: "further", sensorName: "openlineage_sensor"}'
    query = f"mutation {{ startSensor(sensorSelector: {selector}) {{ __typename }} }}"
    url = f"http://127.0.0.1:{running.ports['web']}/graphql"
    answer = httpx.post(url, json={"query": query}, trust_env=False, timeout=60).json()
    assert answer["data"]["startSensor"]["__typename"] == "Sensor", answer
    yield


@contextmanager
def listener_running(bench: Bench, orchestrator: str) -> Iterator[None]:
    """Run Prefect's listener beside the server: a process that reads the server's events."""
    stack = bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator])
    api = f"http://127.0.0.1:{stack.start().ports['api']}/api"
    words = [str(stack.orchestrator.python), "-m", "openlineage_prefect.prefect_adapter.listener"]
    with (bench.work / "listener.log").open("wb") as log:
        process = subprocess.Popen(words, env={**stack.env, "PREFECT_API_URL": api}, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def dbt_ol(bench: Bench) -> None:
    """Build the models with dbt-ol, which takes dbt's place on the command line."""
    producer, settings = PRODUCERS[BASELINE], bench.lab.settings
    with connect("dbt-ol", dsn=bench.lab.dsn) as connection:
        variables = dbt.environment(connection.info, SCHEMA, None)
    python = ROOT / ".venvs" / producer.environment / "bin" / "python"
    words = [str(python), "-c", "import sys; from openlineage.dbt import main; sys.exit(main())", "build"]
    words += ["--project-dir", str(dbt.PROJECT), "--profiles-dir", str(dbt.PROJECT)]
    words += ["--target-path", str(bench.work / "target"), "--log-path", str(bench.work / "target")]
    env = {
        **variables, "PATH": f"{python.parent}:{variables['PATH']}", "PYTHONPATH": str(producer.folder),
        "OPENLINEAGE_URL": settings.passed_on["OPENLINEAGE_URL"],
    }  # fmt: skip
    subprocess.run(words, env=env, capture_output=True, check=True)


@dataclass(frozen=True)
class Producer:
    """A package, what it needs besides the pins of the environment that it joins, and how it is switched on."""

    package: str
    environment: str
    needs: tuple[str, ...] = ()
    pipelines: str = ""
    switch: Switch = lambda *_: nullcontext()
    afterwards: Callable[[Bench], None] = lambda _: None

    @property
    def folder(self) -> Path:
        return ROOT / ".venvs" / "lineage" / self.environment

    @property
    def _wanted(self) -> tuple[str, ...]:
        return self.package, *self.needs

    @property
    def _stamp(self) -> Path:
        return self.folder / ".wanted"

    @property
    def is_installed(self) -> bool:
        return self._stamp.exists() and self._stamp.read_text() == "\n".join(self._wanted)

    def install(self) -> None:
        """Bring the folder to the versions that are asked, without their dependencies: the environment has these."""
        if self.is_installed:
            return
        python = ROOT / ".venvs" / self.environment / "bin" / "python"
        words = [str(bootstrap(ROOT)), "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
        subprocess.run([*words, "--target", str(self.folder), *self._wanted], check=True, env={**os.environ, **QUIET})
        self._stamp.write_text("\n".join(self._wanted))


SCHEMA = "asked"
"""The schema that the month is loaded into."""

_SQL = (f"openlineage-integration-common=={VERSION}", f"openlineage-sql=={VERSION}")

PRODUCERS = {
    "airflow": Producer("apache-airflow-providers-openlineage==2.20.3", "airflow", _SQL),
    "dagster": Producer(
        "dagster-openlineage==0.2.1", "dagster", ("cattrs==26.2.1",), pipelines=QUESTIONS, switch=sensor_running
    ),
    "prefect": Producer("openlineage-prefect==0.0.1b22", "prefect", switch=listener_running),
    BASELINE: Producer(f"openlineage-dbt=={VERSION}", "dbt", (*_SQL, *DBT_CLIENT), afterwards=dbt_ol),
}
"""By orchestrator. The baseline has none of its own: there, dbt's is asked, which any of them could run."""
