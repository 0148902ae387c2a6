"""docker-compose.yml and deploy/Dockerfile as data: no container engine is needed.

The settings of the compose file are those of the adapters. tests/integration/test_containers.py starts it where an
engine answers.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_impl.lab import services as airflow
from core.lab import postgres
from core.lab.environments import NEWEST, OLDEST
from core.lab.protocol import ONE_THREAD, Endpoint, Services
from core.settings import ROOT
from dagster_impl.lab import services as dagster
from prefect_impl.lab import services as prefect
from tests.stack import COMPOSE, Service, command, environment, is_once, services

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HEALTHY = ROOT / "deploy" / "healthy"

PORTS = {"airflow": {"api": 8080}, "dagster": {"code": 4000, "web": 3000}, "prefect": {"api": 4200}}
"""Where the services listen in their containers."""

PLACED = {
    "airflow": {"AIRFLOW_HOME", "PYTHONPATH"}
    | {f"AIRFLOW__{each}" for each in ("API__HOST", "API__BASE_URL", "CORE__DAGS_FOLDER")}
    | {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"},
    "dagster": {"DAGSTER_HOME", "TRIPTYCH_DAGSTER_STORAGE"},
    "prefect": {"PREFECT_HOME", "PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"},
}
"""What says where something is, which differs. PYTHONPATH: the lab's pages say why no triggerer runs; here one does."""

ADDED = {
    "airflow": {"AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"},
    "dagster": set[str](),
    "prefect": {"PREFECT_UI_STATIC_DIRECTORY", "PREFECT_SERVER_UI_API_URL"},
}
"""What only a container needs: a health check, a read-only root, an address that differs inside and outside."""

ADAPTERS = {"airflow": airflow.services, "dagster": dagster.services, "prefect": prefect.services}


def of(tool: str) -> dict[str, Service]:
    """Return the services that run the image of an orchestrator."""
    return {name: each for name, each in services().items() if each["image"] == f"triptych/{tool}"}


def adapter(tool: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Return what the adapter starts, with runs that start cold in Prefect: each container has one process."""
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", prefect.WARM.name)
    return ADAPTERS[tool](Endpoint(str(home), PORTS[tool]))


@pytest.mark.parametrize("tool", ADAPTERS)
def test_the_settings_are_the_adapters_own(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = adapter(tool, tmp_path, monkeypatch).env
    for each in of(tool).values():
        here = environment(each)
        assert {name: here.get(name) for name in wanted.keys() - PLACED[tool]} == {
            name: value for name, value in wanted.items() if name not in PLACED[tool]
        }
        own = {name for name in here if name.startswith((f"{tool.upper()}_", f"TRIPTYCH_{tool.upper()}"))}
        assert own - wanted.keys() == ADDED[tool]
        assert ONE_THREAD.items() <= here.items()


@pytest.mark.parametrize("tool", ADAPTERS)
def test_the_commands_are_the_adapters_own(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [step.run or step.start or [] for step in adapter(tool, tmp_path, monkeypatch).steps]
    moved = {sys.executable: "python", "127.0.0.1": "0.0.0.0"}
    wanted = {
        " ".join(moved.get(word, word) for word in words).replace(str(tmp_path), f"/{tool}") for words in steps if words
    }
    # An initial job has several commands, in a shell.
    lines = [line for each in of(tool).values() for line in re.split(r" && |\n", " ".join(command(each)))]
    said = {line.removeprefix("sh -c ").removeprefix("exec ").removesuffix(" --with-healthcheck") for line in lines}
    assert wanted <= said


def test_the_server_has_the_options_of_the_embedded_one() -> None:
    words = command(services()["postgres"])
    options = dict(word.split("=") for word in words if "=" in word)
    assert options.items() <= postgres.OPTIONS.items()
    # What is left says where the embedded one listens and keeps its shared memory.
    assert postgres.OPTIONS.keys() - options.keys() == {
        "listen_addresses", "unix_socket_directories", "dynamic_shared_memory_type",
    }  # fmt: skip


def test_the_command_line_is_told_where_the_services_are() -> None:
    endpoints = dict(each.split("=") for each in environment(services()["lab"])["TRIPTYCH_ENDPOINTS"].split(","))
    pages = {"airflow": "api", "dagster": "web", "prefect": "api"}
    for tool, url in endpoints.items():
        host, port = url.removeprefix("http://").split(":")
        assert host in of(tool)
        assert int(port) == PORTS[tool][pages[tool]]
        assert services()[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert endpoints.keys() == ADAPTERS.keys()


@pytest.mark.parametrize("name", services())
def test_a_service_may_do_little(name: str) -> None:
    each = services()[name]
    assert (each["read_only"], each["cap_drop"], each["init"]) == (True, ["ALL"], True)
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert {"memory", "pids"} <= each["deploy"]["resources"]["limits"].keys()
    assert each["logging"]["options"]["max-size"]
    # The images of our own run as uid 10001; PostgreSQL's begins as root, and becomes another user.
    assert ("cap_add" in each) == (name == "postgres")
    assert "user" not in each and "privileged" not in each
    assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))


@pytest.mark.parametrize("name", services())
def test_no_service_is_told_a_password(name: str) -> None:
    for variable, value in environment(services()[name]).items():
        assert "PASSWORD" not in variable or variable.endswith("_FILE"), variable
        assert not re.search(r"://[^/@]*:[^/@]*@", value), variable


@pytest.mark.parametrize("name", services())
def test_a_service_says_how_it_is_or_ends(name: str) -> None:
    each = services()[name]
    if not is_once(each):
        assert each["restart"] == "unless-stopped"
        assert each["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert "python" not in str(each["healthcheck"]["test"])
    for needed, how in each.get("depends_on", {}).items():
        once = is_once(services()[needed])
        assert how == {"condition": "service_completed_successfully" if once else "service_healthy"}, needed


def test_every_initial_job_is_waited_for() -> None:
    """`up --wait` takes a container that has ended for a failure, unless another one depends on its end."""
    waited_for = {needed for each in services().values() for needed in each.get("depends_on", {})}
    jobs = {name for name, each in services().items() if is_once(each) and "profiles" not in each}
    assert jobs == {"keys", "airflow-init", "dagster-init", "prefect-init"}
    assert jobs <= waited_for


def test_images_have_a_tag_and_folders_outlive_a_container() -> None:
    whole = yaml.safe_load(COMPOSE.read_text())
    used = {volume.split(":")[0] for each in services().values() for volume in each.get("volumes", [])}
    assert {volume for volume in used if not volume.startswith("./")} == whole["volumes"].keys()
    assert all((ROOT / volume).is_file() for volume in used if volume.startswith("./"))
    assert re.fullmatch(r"postgres:\d+-\w+", services()["postgres"]["image"])
    # That of our own is built here: its target is one of the Dockerfile's.
    targets = set(re.findall(r"^FROM .* AS (\w+)$", DOCKERFILE.read_text(), re.MULTILINE))
    built = {each["build"]["target"] for each in services().values() if "build" in each}
    assert built == {each["image"].split("/")[1] for each in services().values() if "/" in each["image"]} <= targets
    base = re.search(r"^ARG BASE=(python:(\d+)\.(\d+)-slim-\w+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert base and OLDEST <= (int(base[2]), int(base[3])) <= NEWEST
    assert base[1] in COMPOSE.read_text()


def test_what_the_dockerfile_copies_is_sent_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / each).exists() for each in sent)
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = {source for each in copies for source in each.split()}
    assert len(sources) > 10
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == each or source.startswith(f"{each}/") for each in sent), source


def test_the_dockerfile_is_free_of_findings() -> None:
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_one_by_its_specification() -> None:
    words: list[str | Path] = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema"]
    words += ["vendor.compose-spec", COMPOSE]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_compose_takes_the_file() -> None:
    try:
        installed = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        installed = False
    if not installed:
        pytest.skip("there is no `docker compose` here: the file is checked against its specification")
    words = ["docker", "compose", "--file", str(COMPOSE), "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["services"]
    assert found.keys() == services().keys()
    for name, each in found.items():
        assert (each["restart"], each.get("environment") or {}) == (
            services()[name]["restart"], environment(services()[name]),
        )  # fmt: skip


def test_the_password_is_made_once(tmp_path: Path) -> None:
    words = [word.replace("/keys", str(tmp_path)) for word in command(services()["keys"])]
    for _ in range(2):
        subprocess.run(words, check=True)
        found = {path.name: (path.stat().st_mode & 0o777, path.read_text()) for path in tmp_path.iterdir()}
        password = found["password"][1]
        assert re.fullmatch("[0-9a-f]{48}", password)
        assert found == {"password": (0o600, password), "pgpass": (0o600, f"postgres:5432:*:triptych:{password}\n")}
    (tmp_path / "password").write_text("kept")
    subprocess.run(words, check=True)
    assert (tmp_path / "password").read_text() == "kept"


def test_dagsters_workspace_names_the_code_server(tmp_path: Path) -> None:
    script = command(services()["dagster-init"])[-1].split(" && ")[0]
    _, _, program = shlex.split(script)
    subprocess.run([sys.executable, "-c", program.replace("/dagster", str(tmp_path))], check=True, cwd=ROOT)
    (location,) = json.loads((tmp_path / "workspace.yaml").read_text())["load_from"]
    server = location["grpc_server"]
    words = command(services()[server["host"]])
    assert words[-1] == str(server["port"])
    assert words[words.index("--location-name") + 1] == server["location_name"]


class Page(BaseHTTPRequestHandler):
    """A server whose page says that one part is well, and another is not."""

    def do_GET(self) -> None:
        body = b'{"scheduler":{"status":"healthy"},"triggerer":{"status":null}}'
        self.send_response(200 if self.path == "/health?of=all" else 503)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("words", "is_well"),
    [
        ([], True),
        (["/health?of=all"], True),
        (["/other"], False),
        (["/health?of=all", '"scheduler":{"status":"healthy"'], True),
        (["/health?of=all", '"triggerer":{"status":"healthy"'], False),
    ],
)
def test_a_health_check_looks_at_the_port_the_status_and_the_text(
    words: list[str], is_well: bool, address: str
) -> None:
    done = subprocess.run([HEALTHY, address, *words], capture_output=True, text=True)
    assert (done.returncode == 0) == is_well, done.stdout + done.stderr


def test_a_port_that_refuses_is_not_healthy() -> None:
    assert subprocess.run([HEALTHY, "127.0.0.1:1"], capture_output=True).returncode == 1
