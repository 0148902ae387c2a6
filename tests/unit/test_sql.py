"""No name and no value gets into SQL but through psycopg: as `sql.Identifier`, `sql.Literal` or a parameter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import ROOT

SENDS = {"execute", "executemany", "copy", "stream", "SQL"}

TRUSTED = {
    "outcome.sql",  # what dbt compiled from the project
    "column.kind.postgres",  # core.datasets's own types
    "'PARTITION BY LIST (source_month)' if dataset.monthly else ''",
    "'' if column.nullable else ' NOT NULL'",
}
"""What may be put into `sql.SQL` besides a literal."""

MODULES = sorted(
    path
    for folder in ("core", "airflow_impl", "dagster_impl", "prefect_impl")
    for path in (ROOT / folder).rglob("*.py")
)


def is_put_together(node: ast.AST) -> bool:
    """Whether an expression makes a text from parts: an f-string, ``%``, ``+`` or ``"...".format()``."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        return any(isinstance(side, ast.JoinedStr | ast.Constant) for side in (node.left, node.right))
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "format" and isinstance(called.value, ast.Constant)


def outside_of_quotes(node: ast.AST) -> Iterator[ast.AST]:
    """All parts of an expression but those that psycopg quotes."""
    yield node
    if getattr(getattr(node, "func", None), "attr", "") not in ("Identifier", "Literal"):
        for child in ast.iter_child_nodes(node):
            yield from outside_of_quotes(child)


def unquoted(source: str) -> Iterator[str]:
    """The SQL texts that are put together, or made from something that is not known to be safe."""
    tree = ast.parse(source)
    texts = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and is_put_together(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in SENDS and call.args:
            query = call.args[0]
            parts = [
                texts.get(part.id, part) if isinstance(part, ast.Name) else part for part in outside_of_quotes(query)
            ]
            is_made = call.func.attr == "SQL" and not isinstance(query, ast.Constant)  # type: ignore[attr-defined]
            if any(map(is_put_together, parts)) or (is_made and ast.unparse(query) not in TRUSTED):
                yield ast.unparse(query)


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_sql_is_composed_and_never_put_together(path: Path) -> None:
    assert list(unquoted(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        'c.execute(f"DROP TABLE {name}")', 'c.execute("DROP TABLE %s" % name)', 'c.execute("DROP TABLE " + name)',
        'c.execute("DROP TABLE {}".format(name))', 'c.execute(f"SELECT {x}".encode())',
        'q = f"SELECT {x}"\nc.execute(q, [1])',
        'c.execute(sql.SQL(f"SELECT {x}"))', "c.execute(sql.SQL(name))", 'c.cursor().copy(f"COPY {t} FROM STDIN")',
    ],
)  # fmt: skip
def test_what_is_put_together_is_found(source: str) -> None:
    assert list(unquoted(source))
