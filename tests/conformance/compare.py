"""What differs between two results: what a new version changed, for whoever is about to upgrade."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.cells import Cell, Cells


def differences(old: Cells, new: Cells) -> Iterator[str]:
    """Yield a line for each cell whose verdict, count or observation differs, and for each that only one result has.

    A cell that says the same on another version yields nothing.
    """
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        name = " on ".join(key)
        if before is None or after is None:
            yield f"{name}: only in the {'new' if before is None else 'old'} result"
        elif before.words != after.words:
            yield f"{name}: {before.words} ({before.version}), now {after.words} ({after.version})"
        elif shapes(before) != shapes(after):
            yield f"{name}: {after.words} as before, observed {after.observed[0]}, before {before.observed[0]}"


def shapes(cell: Cell) -> list[object]:
    """Return what was observed, without repetitions: how often luck chose which answer is no difference."""
    found: list[object] = []
    for each in cell.observed:
        if each not in found:
            found.append(each)
    return sorted(found, key=repr)


def lines(old: Cells, new: Cells) -> list[str]:
    """Return what `--compare` prints."""
    versions = {tool: (version_of(old, tool), version_of(new, tool)) for tool in sorted({tool for _, tool in new})}
    head = [f"{tool}: {before} -> {after}" for tool, (before, after) in versions.items()]
    return [*head, *(list(differences(old, new)) or ["no cell differs"])]


def version_of(cells: Cells, tool: str) -> str:
    """Return the versions of an orchestrator in a result; a dash for none."""
    return ", ".join(sorted({cell.version for cell in cells.values() if cell.tool == tool})) or "-"
