"""What an orchestrator may or may not be able to do, and the page that shows who can do what.

    python -m core.lab.capabilities        writes docs/capabilities.md

A runner declares in `describe` which capabilities its orchestrator has, and for each of the others why it lacks it.
Contract tests ask for a capability, never for an orchestrator's name. Where it is lacking, the same test must fail: a
strict xfail whose reason is the declared one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.lab.protocol import Description

CAPABILITIES = {
    "services": "A service that is killed is started again, and the backfill goes on.",
    "web": "Its services show runs on a web page.",
    "concurrent_backfills": "Two backfills run side by side.",
    "detached_backfills": "A backfill goes on when the command that asked for it is killed.",
    "one_run": "A backfill may run its months as one run (`triptych backfill --as one-run`).",
    "survives_worker_kill": "A month whose process is killed with SIGKILL runs again by itself.",
}
"""Each capability and its meaning, in the order of the page. `tests/contract` has a test that asks for it."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "capabilities.md"

_INTRODUCTION = """\
# Capabilities

What each orchestrator, and the baseline (`plain`), can do on this project's services. Every "yes" is a contract test in
`tests/contract` that passes; every "no" is the same test, which must fail for the reason below the table. The runners
declare both in `describe`; `.venvs/lab/bin/python -m core.lab.capabilities` writes this page. Which constructs each
tool has of its own for branches, rules, events and values is in [the guide](guide/README.md).
"""


def page(descriptions: Iterable[Description]) -> str:
    """Return the page: capability x orchestrator, then the reasons."""
    return "\n".join([_INTRODUCTION, *_table(every := list(descriptions)), "", *_reasons(every)]) + "\n"


def _table(descriptions: list[Description]) -> Iterator[str]:
    yield "| " + " | ".join(["capability", "meaning", *(each.title for each in descriptions)]) + " |"
    yield "|" + "---|" * (2 + len(descriptions))
    for name, meaning in CAPABILITIES.items():
        cells = ["yes" if name in each.capabilities else "no" for each in descriptions]
        yield "| " + " | ".join([f"`{name}`", meaning, *cells]) + " |"


def _reasons(descriptions: list[Description]) -> Iterator[str]:
    yield "| capability | not on | because |"
    yield "|---|---|---|"
    for name in CAPABILITIES:
        for each in descriptions:
            if name in each.lacks:
                yield f"| `{name}` | {each.title} | {each.lacks[name]} |"


def describe_all() -> list[Description]:
    """Ask the runner of each orchestrator of this checkout, the baseline first. Starts no service."""
    # Not at the top: the orchestrators' environments import this module for CAPABILITIES, and lack what the driver
    # needs.
    from core.lab import driver
    from core.lab.registry import orchestrators
    from core.settings import Settings

    settings = Settings.read({})
    return [driver.describe(each, settings) for each in orchestrators(settings).values()]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(describe_all()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
