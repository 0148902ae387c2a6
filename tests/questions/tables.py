"""The tables of the guide, from the observed answers below docs/guide/data.

A table is asked for in a page by one line, ``<!-- table: NAME COLUMN... [CLAUSE...] -->``, in the words of a shell:

    trigger_rules rule upstreams expected airflow     one line for each row of the data; these columns
    events cause "airflow.median_s=Airflow, seconds"  a title of its own; a dot looks inside an object
    trigger_rules rule airflow dagster prefect sum    one line for each rule: how many rows are as expected
    trigger_rules rule expected across upstreams      a matrix; a cell shows what is expected, and who departs from it
    ... where rule=all_done                           only these rows

Beside the column `expected`, an orchestrator's cell is a check mark when it says the same, and bold when it does not.
One that was not asked has a dash, and departs from nothing.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from benchmarks.harness import markdown
from benchmarks.harness.measure import Row
from core.settings import ROOT

DATA = ROOT / "docs" / "guide" / "data"
"""The answers of every question: <question>.json is a list of rows."""

ASKED = "asked"
"""The file that says, for each question and orchestrator, which version was asked, when, on what, and for how long."""

ORCHESTRATORS = {"airflow": "Airflow", "dagster": "Dagster", "prefect": "Prefect", "plain": "plain"}
"""The columns of observed answers, with their titles."""

_CLAUSES = ("where", "sum", "across")


@dataclass(frozen=True)
class Column:
    """A column of a table: the key of its values, and its title."""

    key: str
    title: str

    @classmethod
    def parse(cls, word: str) -> Column:
        """Read ``key`` or ``key=title``."""
        key, _, title = word.partition("=")
        return cls(key, title or ORCHESTRATORS.get(key, key.replace("_", " ").replace(".", " ")))

    @property
    def is_observed(self) -> bool:
        """Whether it holds what an orchestrator did."""
        return self.key in ORCHESTRATORS

    def of(self, row: Row) -> Any:
        """Return its value in a row, or None. Raise `LookupError` when the row can't have such a column."""
        value: Any = row
        for word in self.key.split("."):
            value = value.get(word) if isinstance(value, Mapping) else None
        return value


def read(name: str) -> list[Row]:
    """Return the rows of the data `name`."""
    rows: list[Row] = json.loads((DATA / f"{name}.json").read_text())
    return rows


NOT_ASKED = "*Not asked yet: `make guide` does it.*\n"


def table(words: str) -> str:
    """Return the table that a page asks for. Raise `LookupError` for a column, and `ValueError` for rows, it lacks."""
    name, *rest = shlex.split(words)
    if not (DATA / f"{name}.json").exists():
        return NOT_ASKED
    columns = [Column.parse(word) for word in takewhile(lambda word: word not in _CLAUSES, rest)]
    clauses = _clauses(rest[len(columns) :])
    rows = [row for row in read(name) if _is_wanted(row, clauses.get("where", []))]
    if not rows:
        raise ValueError(f"no row of {name}.json is in the table {words!r}")
    for column in columns:
        known = {*ORCHESTRATORS, *(key for row in rows for key in row)}
        if column.key.split(".")[0] not in known:
            raise LookupError(f"{name}.json has no column {column.key!r}")
    if "sum" in clauses:
        return _summed(columns, rows)
    if "across" in clauses:
        return _matrix(columns, Column.parse(clauses["across"][0]), rows)
    return _listed(columns, rows)


def _clauses(words: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        if word in _CLAUSES:
            found[word] = []
        else:
            found[[*found][-1]].append(word)
    return found


def _is_wanted(row: Row, conditions: Iterable[str]) -> bool:
    pairs = (condition.partition("=") for condition in conditions)
    return all(cell(Column.parse(key).of(row)) == value for key, _, value in pairs)


def cell(value: Any) -> str:
    """Return a value as it stands in a table: yes or no, a rounded number, a list with commas, a dash for nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return markdown.number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(cell(each) for each in value) or "-"
    return str(value).replace("|", "\\|").replace("\n", "<br>")


def _listed(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    is_checked = any(column.key == "expected" for column in columns)
    lines = [[_observed(column, row) if is_checked else cell(column.of(row)) for column in columns] for row in rows]
    return _table([column.title for column in columns], lines)


def _observed(column: Column, row: Row) -> str:
    value = column.of(row)
    if not column.is_observed or value is None or row.get("expected") is None:
        return cell(value)
    return "✓" if value == row["expected"] else f"**{cell(value)}**"


def _summed(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    keys = [column for column in columns if not column.is_observed]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(cell(column.of(row)) for column in keys), []).append(row)
    lines = [
        [_as_expected(column, group) if column.is_observed else cell(column.of(group[0])) for column in columns]
        for group in groups.values()
    ]
    return _table([column.title for column in columns], lines)


def _as_expected(column: Column, rows: Sequence[Row]) -> str:
    if all(column.of(row) is None for row in rows):
        return cell(None)
    same = sum(column.of(row) == row.get("expected") for row in rows)
    return f"all {len(rows)}" if same == len(rows) else f"**{same} of {len(rows)}**"


def _matrix(columns: Sequence[Column], across: Column, rows: Iterable[Row]) -> str:
    *keys, value = columns
    cells: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for row in rows:
        line = cells.setdefault(tuple(cell(column.of(row)) for column in keys), {})
        line.setdefault(_counted(across.of(row)), []).append(_with_departures(value, row))
    heads = [*dict.fromkeys(head for line in cells.values() for head in line)]
    lines = [
        [*key, *(" / ".join(dict.fromkeys(line.get(head, ["-"]))) for head in heads)] for key, line in cells.items()
    ]
    return _table([*(column.title for column in keys), *heads], lines)


def _counted(value: Any) -> str:
    """Return the head of a matrix's column: of a list, how many of each, whatever their order."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or len(words) < 2:
        return cell(value)
    counts = Counter(str(word).strip() for word in words)
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), reverse=True))


def _with_departures(value: Column, row: Row) -> str:
    text = cell(value.of(row))
    if value.key != "expected":
        return text
    others = [
        f"**{title}: {cell(row[name])}**"
        for name, title in ORCHESTRATORS.items()
        if row.get(name) not in (None, row["expected"])
    ]
    return ", ".join([text, *others])


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return markdown.table(head, lines, align="---")


def constructs() -> str:
    """Return which of the questions each orchestrator answers with constructs of its own, from the rows that ran.

    A question without a page of its own asks for figures of another one's constructs, and is left out.
    """
    asked = json.loads((DATA / f"{ASKED}.json").read_text())
    names = [name for name in asked if (DATA.parent / f"{name}.md").exists()]
    tools = [tool for tool in ORCHESTRATORS if any(tool in asked[name] for name in names)]
    lines = [
        [f"[{name.replace('_', ' ')}]({name}.md)", *(_constructs(read(name), tool) for tool in tools)] for name in names
    ]
    return _table(["question", *(ORCHESTRATORS[tool] for tool in tools)], lines)


def _constructs(rows: Sequence[Row], tool: str) -> str:
    """Return how an orchestrator has what was asked for, and how many rows came out as expected."""
    ran = [row for row in rows if row.get(tool) is not None]
    if not ran:
        return "-"
    kinds = Counter(row["native"][tool] for row in ran)
    how = ", ".join(kind if len(kinds) == 1 else f"{kind} {count}" for kind, count in kinds.most_common())
    checked = [row for row in ran if row.get("expected") is not None]
    return (
        f"{how} ({sum(row[tool] == row['expected'] for row in checked)} of {len(checked)} as expected)"
        if checked
        else how
    )


def observed(name: str) -> str:
    """Return one line on where the data `name` comes from: how many rows, which versions, on what machine."""
    path = DATA / f"{ASKED}.json"
    asked = json.loads(path.read_text()).get(name) if path.exists() else None
    if not asked:
        return NOT_ASKED
    versions = ", ".join(f"{ORCHESTRATORS[orchestrator]} {facts['version']}" for orchestrator, facts in asked.items())
    machines = "; ".join(dict.fromkeys(facts["machine"] for facts in asked.values()))
    rows = f"{len(read(name)):,} rows ([data](data/{name}.json))"
    return f"*Observed by `make guide`: {rows}, with {versions}, on {machines}.*\n"
