"""The models of the dbt project and their tests, as dbt's manifest declares them."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from core.transform import dbt

Artifact = dict[str, Any]
"""A JSON file that dbt writes, or a part of one."""


@dataclass(frozen=True)
class DbtTest:
    """A test that the project declares: on data, or on a model's SQL with made-up rows (``unit``)."""

    name: str
    model: str
    kind: Literal["data", "unit"]
    severity: Literal["error", "warn"]
    description: str


@dataclass(frozen=True)
class Column:
    """A column of a model, with the PostgreSQL type that the project declares for it."""

    name: str
    type: str
    nullable: bool
    description: str


@dataclass(frozen=True)
class Model:
    """A model. `path` is its SQL file; `depends_on` names models and raw tables."""

    name: str
    description: str
    path: Path
    columns: tuple[Column, ...]
    depends_on: tuple[str, ...]
    tests: tuple[DbtTest, ...]


def models(manifest: Artifact) -> tuple[Model, ...]:
    """Return the models of a manifest, each after those that it depends on."""
    declared = tests(manifest).values()
    nodes = {node["unique_id"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    names = {key: node["name"] for key, node in (nodes | manifest["sources"]).items()}
    order = TopologicalSorter(
        {key: [k for k in sorted(node["depends_on"]["nodes"]) if k in nodes] for key, node in sorted(nodes.items())}
    )
    return tuple(
        Model(
            name=nodes[key]["name"],
            description=nodes[key]["description"],
            path=dbt.PROJECT / nodes[key]["original_file_path"],
            columns=tuple(map(_column, nodes[key]["columns"].values())),
            depends_on=tuple(sorted({names[parent] for parent in nodes[key]["depends_on"]["nodes"]})),
            tests=tuple(sorted((t for t in declared if t.model == nodes[key]["name"]), key=lambda t: (t.kind, t.name))),
        )
        for key in order.static_order()
    )


def _column(column: Artifact) -> Column:
    nullable = all(constraint["type"] != "not_null" for constraint in column["constraints"])
    return Column(column["name"], column["data_type"] or "", nullable, column["description"])


def tests(manifest: Artifact) -> dict[str, DbtTest]:
    """Return all tests of a manifest by unique id. A singular test belongs to the last model that it names."""
    found = {}
    for key, node in manifest["nodes"].items():
        if node["resource_type"] == "test":
            model = (node.get("attached_node") or node["depends_on"]["nodes"][-1]).rpartition(".")[2]
            severity: Literal["error", "warn"] = "warn" if node["config"]["severity"].lower() == "warn" else "error"
            found[key] = DbtTest(node["name"], model, "data", severity, node["description"])
    for key, node in manifest["unit_tests"].items():
        found[key] = DbtTest(node["name"], node["model"], "unit", "error", node["description"] or "")
    return found
