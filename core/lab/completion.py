"""What a shell offers for the arguments of the command line, where typer does not know it."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import TriptychError


def orchestrators(incomplete: str) -> list[str]:
    """Return the orchestrators' names that begin like this."""
    return _beginning(_names(), incomplete)


def orchestrator_list(incomplete: str) -> list[str]:
    """Return the lists of orchestrators that begin like this, and are longer by one: ``airflow,d`` has one."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    names = _names() if comma else [*_names(), "all"]
    return [f"{before}{comma}{name}" for name in _beginning(names, last) if name not in taken]


def sources(incomplete: str) -> list[str]:
    """Return the sources that have a name; for anything else a shell offers its files."""
    return _beginning(["sample", "tlc"], incomplete)


def _names() -> list[str]:
    from core.lab import registry
    from core.settings import settings

    try:
        return list(registry.orchestrators(settings()))
    # A malformed setting: the command itself reports it.
    except TriptychError:
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
