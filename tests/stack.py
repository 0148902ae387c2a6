"""docker-compose.yml as a container engine would read it."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Any

import yaml

from core.settings import ROOT

COMPOSE = ROOT / "docker-compose.yml"

Service = dict[str, Any]


@cache
def services() -> dict[str, Service]:
    """Return the services, with the defaults of their variables."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    found: dict[str, Service] = yaml.safe_load(text)["services"]
    return found


def environment(service: Service) -> dict[str, str]:
    """Return the variables that a service's container gets."""
    files = [(ROOT / name).read_text().splitlines() for name in service.get("env_file", [])]
    lines = [line for text in files for line in text if line and not line.startswith("#")]
    own: dict[str, str] = service.get("environment", {})
    return dict(line.split("=", 1) for line in lines) | own


def command(service: Service) -> list[str]:
    """Return the words of a service's command as its container gets them."""
    said = service.get("command", [])
    return [word.replace("$$", "$") for word in (shlex.split(said) if isinstance(said, str) else said)]


def is_once(service: Service) -> bool:
    return bool(service["restart"] == "no")
