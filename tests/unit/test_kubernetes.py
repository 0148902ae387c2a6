"""deploy/kustomization.yaml as data: no cluster is needed. `kubectl kustomize`, where there is one, renders it."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from core.settings import ROOT
from tests.stack import command, environment, is_once, services

DEPLOY = ROOT / "deploy"
RELEASES = ["1.30", kubernetes_validate.latest_version()]
"""The oldest and the newest release of Kubernetes whose schemas the objects keep to."""

Object = dict[str, Any]


@cache
def base() -> list[Object]:
    """Return the objects as they lie there."""
    names = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())["resources"]
    assert sorted(names) == sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.glob("kubernetes/*.yaml"))
    return [each for name in names for each in yaml.safe_load_all((DEPLOY / name).read_text())]


@cache
def rendered() -> list[Object]:
    """Return the objects as `kubectl apply --kustomize` would send them."""
    if not shutil.which("kubectl"):
        pytest.skip("there is no kubectl here: the objects are checked as they lie in deploy/kubernetes")
    done = subprocess.run(["kubectl", "kustomize", DEPLOY], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the name and the specification of each pod."""
    for each in objects:
        spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each.get("spec", {})
        if "template" in spec:
            yield each["metadata"]["name"], spec["template"]["spec"]


def containers(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield each pod's specification with each of its containers."""
    for _, pod in pods(objects):
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            yield pod, container


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_one_by_the_schemas(release: str) -> None:
    for each in base():
        kubernetes_validate.validate(each, release, strict=True)


def test_what_is_rendered_is_whole() -> None:
    for each in rendered():
        for release in RELEASES:
            kubernetes_validate.validate(each, release, strict=True)
    maps = {each["metadata"]["name"] for each in rendered() if each["kind"] == "ConfigMap"}
    named = set()
    for pod, container in containers(rendered()):
        assert container["image"].startswith(("registry.example/triptych/", "postgres:"))
        named |= {each["configMapRef"]["name"] for each in container.get("envFrom", [])}
        named |= {each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each}
    assert named == maps
    assert {name.rpartition("-")[0] for name in maps} == {"pipeline", "airflow", "dagster", "prefect", "databases"}


def test_a_container_may_do_little() -> None:
    for pod, container in containers(base()):
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["limits"].keys() == {"memory"}
        assert not [
            each for each in container.get("env", []) if "PASSWORD" in each["name"] and "_FILE" not in each["name"]
        ]


def test_services_set_no_variable_that_prefect_would_take_for_a_setting() -> None:
    assert all(pod["enableServiceLinks"] is False for _, pod in pods(base()))


def test_what_is_mounted_is_there() -> None:
    for name, pod in pods(base()):
        (whole,) = (each for each in base() if each["metadata"]["name"] == name and each["kind"] != "Service")
        volumes = {each["name"] for each in pod["volumes"]}
        volumes |= {each["metadata"]["name"] for each in whole["spec"].get("volumeClaimTemplates", [])}
        mounted = [each["name"] for _, container in containers([whole]) for each in container["volumeMounts"]]
        assert volumes == set(mounted)


def said(words: list[str]) -> set[str]:
    """Return the commands in a container's words, also those of a shell's script."""
    script = words[2] if words[:2] == ["sh", "-c"] else shlex.join(words)
    lines = re.split(r" && |\n", script)
    return {" ".join(shlex.split(line)).removeprefix("exec ") for line in lines if "python -c" not in line}


def test_the_commands_are_those_of_the_compose_file() -> None:
    lines = [
        line
        for _, each in containers(base())
        if each["name"] not in ("keys", "postgres", "lab")
        for words in [each["command"]]
        # The script of an initial job that writes Dagster's files spans several lines.
        for line in (said(words) if "write_files" not in str(words) else {"dagster instance migrate"})
    ]
    wanted = {
        line
        for name, each in services().items()
        if name not in ("keys", "postgres", "lab")
        for line in said(command(each))
    }
    waits = {line for line in lines if line == "set -e" or line.startswith("until ")}
    assert set(lines) - waits == wanted - {"set -e"}


def test_the_health_checks_are_those_of_the_compose_file() -> None:
    asked = {
        shlex.join(each["startupProbe"]["exec"]["command"])
        for _, each in containers(base())
        if "startupProbe" in each and each["name"] != "postgres"
    }
    wanted = {
        shlex.join(each["healthcheck"]["test"][1:])
        for name, each in services().items()
        if not is_once(each) and name not in ("dbt", "postgres")
    }
    assert asked == wanted


def test_services_have_the_names_that_the_settings_say() -> None:
    found = {
        (each["metadata"]["name"], port["port"])
        for each in base()
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    values = " ".join(value for each in services().values() for value in environment(each).values())
    asked = {(host, int(port)) for host, port in re.findall(r"(?:@|http://)([a-z][a-z-]*):(\d+)", values)}
    assert found == {each for each in asked if each[0] != "localhost"}


def test_the_secret_holds_what_the_pods_mount() -> None:
    done = subprocess.run([DEPLOY / "kubernetes" / "secret"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    secret = json.loads(done.stdout)
    kubernetes_validate.validate(secret, RELEASES[-1], strict=True)
    found = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert found["pgpass"] == f"postgres:5432:*:triptych:{found['password']}\n"
    assert len(found["password"]) == 48
    assert {"fernet_key", "secret_key", "jwt_secret"} <= set(
        re.findall(r"^(\w+) =", found["airflow.cfg"], re.MULTILINE)
    )
    mounted = {
        each["subPath"]
        for _, container in containers(base())
        for each in container["volumeMounts"]
        if "subPath" in each
    }
    assert mounted <= found.keys()
    assert {Path(name).name for name in found} == {"password", "pgpass", "airflow.cfg"}
