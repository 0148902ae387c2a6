"""What is started, with which settings and secrets."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.configuration import conf
from airflow.utils.file import list_py_file_paths

from airflow_impl.lab import services as stack
from airflow_impl.lab.services import SETTINGS, services
from core.lab.protocol import ONE_THREAD, Endpoint, Services

README = Path(stack.__file__).parent.parent / "README.md"


@pytest.fixture
def up(tmp_path: Path) -> Services:
    return services(Endpoint(str(tmp_path / "home"), {"api": 18080}))


def test_everything_listens_on_loopback(up: Services) -> None:
    assert up.env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert up.web == up.env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18080"
    assert [step.start[1] for step in up.steps if step.start] == ["api-server", "scheduler", "dag-processor"]


def test_two_schedulers_and_two_servers_behind_a_balancer(tmp_path: Path) -> None:
    scale = {"scheduler": 2, "api-server": 2}
    ports = {"api": 1, "api-server-1": 2, "api-server-2": 3}
    started = services(Endpoint(str(tmp_path), ports, scale=scale))
    names = [step.name for step in started.steps if step.start]
    servers = ["api-server-1", "api-server-2", "balancer"]
    assert names == [*servers, "scheduler-1", "scheduler-2", "dag-processor"]
    assert started.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:1/execution/"
    assert started.steps[1].start == ["airflow", "api-server", "--port", "2"]


def test_the_services_find_modules_where_the_caller_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert stack.python_path() == str(stack.LOCAL_SETTINGS)
    monkeypatch.setenv("PYTHONPATH", "/copy")
    assert stack.python_path().split(os.pathsep) == [str(stack.LOCAL_SETTINGS), "/copy"]


def test_no_page_announces_a_scheduled_run_that_the_lab_holds_back(up: Services) -> None:
    """Without the lab's cluster policy, the DAG's next run is the first of a month."""
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; from airflow.serialization.serialized_objects "
    )
    code += "import DagSerialization as S; dag = S.from_dict(S.to_dict(DagBag(sys.argv[1]).dags['taxi_pipeline'])); "
    code += "print(dag.next_dagrun_info(last_automated_run_info=None))"

    def next_run(**env: str) -> str:
        command = [sys.executable, "-c", code, str(stack.DAGS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env})
        return done.stdout.splitlines()[-1]

    assert "DagRunInfo" in next_run()
    assert next_run(PYTHONPATH=up.env["PYTHONPATH"]) == "None"
    assert SETTINGS["SCHEDULER__USE_JOB_SCHEDULE"][0] == "False"


@pytest.fixture
def further_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services with the questions' pipelines."""
    monkeypatch.setenv("TRIPTYCH_PIPELINES", "tests.questions")
    return services(Endpoint(str(tmp_path / "home"), {"api": 18080}))


def test_only_further_pipelines_have_schedules_and_a_triggerer(up: Services, further_up: Services) -> None:
    started = [step.start[1] for step in further_up.steps if step.start]
    assert started == ["api-server", "scheduler", "dag-processor", "triggerer"]
    assert further_up.env["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "True"
    assert "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST" not in up.env


# Airflow 3.3.2 compiles an .airflowignore with what its library calls deprecated.
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_each_package_is_a_bundle_whose_dag_files_have_one_name(further_up: Services) -> None:
    ours, questions = json.loads(further_up.env["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert (ours["name"], ours["kwargs"], questions["name"]) == ("dags-folder", {}, "tests.questions")
    found = list_py_file_paths(questions["kwargs"]["path"])
    assert {Path(path).name for path in found} == {"airflow_dags.py"}


def test_the_policy_holds_back_the_taxi_pipeline_only_and_the_alert_is_true(further_up: Services) -> None:
    code = """if True:
        import datetime as dt, airflow_local_settings as ours
        from airflow.sdk import DAG
        for name in ("taxi_pipeline", "another"):
            ours.dag_policy(dag := DAG(name, start_date=dt.datetime(2024, 1, 1)))
            print(dag.end_date is not None)
        print(len(ours.DASHBOARD_UIALERTS))
    """

    def printed(**env: str) -> list[str]:
        env |= {"PYTHONPATH": further_up.env["PYTHONPATH"]}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **env})
        return done.stdout.split()

    assert printed() == ["True", "False", "0"]
    assert printed(TRIPTYCH_PIPELINES="") == ["True", "False", "1"]


def test_secrets_are_made_once_and_only_for_the_owner(up: Services, tmp_path: Path) -> None:
    config = tmp_path / "home" / "airflow.cfg"
    first = config.read_text()
    services(Endpoint(str(tmp_path / "home"), {"api": 18081}))
    assert config.read_text() == first
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_no_secret_is_in_the_result(up: Services, tmp_path: Path) -> None:
    lines = (tmp_path / "home" / "airflow.cfg").read_text().splitlines()
    secrets = [value for _, equals, value in (line.partition(" = ") for line in lines) if equals]
    assert len(secrets) == 3
    assert not any(secret in json.dumps(up.to_json()) for secret in secrets)


@pytest.mark.parametrize("option", SETTINGS)
def test_every_setting_exists_in_airflow_and_changes_its_default(option: str) -> None:
    section, key = option.lower().split("__")
    assert conf.configuration_description[section]["options"][key]["default"] != SETTINGS[option][0]


def test_the_readme_shows_every_setting_with_its_reason() -> None:
    rows = [f"| {option.replace('__', '.').lower()} | {value} | {why} |" for option, (value, why) in SETTINGS.items()]
    text = README.read_text()
    assert [row for row in rows if row not in text] == []


# --- speed


def test_what_is_changed_for_speed_is_named_with_airflows_default() -> None:
    for option, shipped in stack.SHIPPED.items():
        section, key = option.lower().split("__")
        default = conf.configuration_description[section]["options"][key]["default"]
        # Without a value, `mp_start_method` is the platform's own, which is `fork` on Linux until Python 3.14.
        assert float(default) == float(shipped) if default else (key, shipped) == ("mp_start_method", "fork")


def test_as_shipped_sets_nothing_that_is_for_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "all")
    env = stack.services(Endpoint(str(tmp_path / "home"), {"api": 1})).env
    assert not {f"AIRFLOW__{option}" for option in stack.SHIPPED} & env.keys()
    assert env["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] == "30"


def test_the_guards_are_named_with_airflows_default_and_can_stay_as_they_are_shipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for option, shipped in stack.GUARDS.items():
        section, key = option.lower().split("__")
        assert float(conf.configuration_description[section]["options"][key]["default"]) == float(shipped)
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "guards")
    assert SETTINGS.keys() - stack.options().keys() == stack.GUARDS.keys()


def test_one_setting_alone_can_stay_as_it_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "airflow.core_parallelism")
    assert SETTINGS.keys() - stack.options().keys() == {"CORE__PARALLELISM"}


def test_what_is_preloaded_starts_no_thread_and_is_all_that_a_task_imports() -> None:
    code = f"""
import gc, importlib, os, sys
importlib.import_module({stack.PRELOADED!r})
print(len(os.listdir("/proc/self/task")), gc.get_freeze_count() > 10_000)
known = set(sys.modules)
from core import datasets, extract, load, pipeline
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag
assert DagBag({str(stack.DAGS)!r}).dags
task = ("airflow", "core", "pyarrow", "psycopg", "numpy")
print(sorted(each for each in set(sys.modules) - known if each.split(".")[0] in task))
"""
    env = {**os.environ, **ONE_THREAD}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    said = ran.stdout.splitlines()
    assert "1 True" in said
    assert said[-1] == "[]"
