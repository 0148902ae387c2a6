"""Versions and machines: what each figure was measured with, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.summary.blocks import TOOLS, file, section, shown, table, title
from benchmarks.summary.data import FILES, Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html, join, tag


def machine(data: Data) -> Html | None:
    """Return the section; None without results that say what they were measured on."""
    measured = [(found, keys) for name in FILES if (found := data.get(name)) for keys in found.runs()]
    lines = [_line(found, keys) for found, keys in measured]
    if not lines:
        return None
    head = ["results", "measured (UTC)", "machine", "load average at the start", "versions"]
    caption = "What each file of results was measured on, and with which versions"
    asked = data.get("asked")
    return section(
        "machine",
        "Versions and machines",
        table(head, lines, caption, words=True),
        _guide(asked) if asked else None,
    )


def _line(results: Results, keys: tuple[str, ...]) -> list[Content]:
    facts: Mapping[str, Any] = results.at(*keys)
    found = facts["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in sorted(facts["versions"].items()))
    where = [file(results.path), f" ({keys[-1]})" if keys else None]
    return [
        join(where),
        tag("span", facts["measured_at"][:16].replace("T", " "), class_="whole"),
        join(
            [
                found["cpu"],
                ", ",
                shown(results.value(*keys, "machine", "cores", whole=True)),
                " cores, ",
                shown(results.value(*keys, "machine", "ram_gb")),
                " GB, ",
                found["system"],
            ]
        ),
        shown(results.value(*keys, "machine", "load_average_at_start")),
        versions,
    ]


def _guide(asked: Results) -> Html:
    """Return the versions that the guide's questions were put to."""
    lines = [
        [question.replace("_", " "), *(_version(answers.get(tool)) for tool in TOOLS)]
        for question, answers in asked.content.items()
    ]
    content = table(["question", *map(title, TOOLS)], lines, "When the guide's questions were asked", words=True)
    return tag("details", tag("summary", "Show when the guide's questions were asked"), content)


def _version(facts: Mapping[str, Any] | None) -> str:
    return f"{facts['version']}, {facts['at'][:10]}, {facts['machine']}" if facts else "-"
