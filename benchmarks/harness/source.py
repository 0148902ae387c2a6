"""Code that pages show: cut out of the repository's own files, so that it is what runs."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def shown(path: Path, *names: str) -> str:
    """Return the named parts of a file, two blank lines apart; the whole file without a name.

    A name is a function, a class, a method (``Class.method``), a module's variable, or a region: the lines between
    ``# region NAME`` and ``# endregion``, in any language with such comments. Raise `LookupError` for any other.
    """
    text = path.read_text()
    return "\n\n".join(_named(text, path, name) for name in names) if names else text.strip() + "\n"


def _named(text: str, path: Path, name: str) -> str:
    found = region(text, name) or (definition(text, name) if path.suffix == ".py" else None)
    if found is None:
        raise LookupError(f"{path} has no function, class, variable or region {name!r}")
    return textwrap.dedent(found)


def region(text: str, name: str) -> str | None:
    """Return the lines of a region without its two comments, or None."""
    mark = r"^[ \t]*(?:#|--|//) "
    found = re.search(rf"{mark}region {re.escape(name)}\n(.*?){mark}endregion\b", text, re.MULTILINE | re.DOTALL)
    return found[1].strip("\n") + "\n" if found else None


def definition(text: str, name: str) -> str | None:
    """Return a definition with its decorators, or None."""
    scope: ast.AST | None = ast.parse(text)
    for word in name.split("."):
        scope = next((node for node in ast.walk(scope) if _defines(node, word)), None) if scope else None
    if not isinstance(scope, ast.stmt):
        return None
    lines = text.splitlines(keepends=True)
    first = min([scope.lineno, *(each.lineno for each in getattr(scope, "decorator_list", []))])
    return "".join(lines[first - 1 : scope.end_lineno])


def _defines(node: ast.AST, name: str) -> bool:
    if isinstance(node, _DEFINITIONS):
        return node.name == name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
