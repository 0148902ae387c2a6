"""Whether the tables of several schemas equal the baseline's, by digest, and are as their own ledgers say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core import ledger
from core.database import Connection
from core.errors import UsageError
from core.lab.audit import Finding, audit, exists
from core.lab.causes import Cause, Loaded, causes, loaded, not_loaded
from core.lab.compare import Problem, Row, compare_table
from core.lab.relations import existing, hold, named
from core.lab.scope import (
    ALL,
    BY_DATE,
    LEDGERS,
    Scope,
    is_compared,
    made_of,
    pipeline_tables,
    tables_of,
    with_ledgers,
    without_month,
)
from core.month import spans

Verdict = Literal["identical", "as recorded", "uneven", "not compared", "not as recorded", "different"]

_REMEDY = "run `triptych backfill` first"


@dataclass(frozen=True)
class Parity:
    """The comparison of `schemas`, the baseline first. `absent` are the requested schemas that do not exist.

    `rows` are the tables that were asked for; else those that anything was loaded into, and those built from them.
    `findings` are where a schema is not as its own ledgers say.
    """

    baseline: str
    """The schema that the others are compared with: `plain`, or the first one where there is no `plain`."""
    schemas: list[str]
    absent: list[str]
    rows: list[Row]
    findings: list[Finding]
    causes: list[Cause] = field(default_factory=list)
    """Why schemas differ from the baseline, as far as their ledgers show."""
    common: list[str] = field(default_factory=list)
    """The months that all schemas have: loaded from the same bytes, or without ledgers, rows of them in each table."""
    audited: bool = True
    """False when no schema has a ledger to compare with."""
    whole: list[str] = field(default_factory=list)
    """The tables that were compared whole although months were asked for: no column holds the month of a row."""
    empty: list[str] = field(default_factory=list)
    """The months that were asked for and that no table has rows of."""

    @property
    def problems(self) -> list[Problem]:
        """The tables with other columns than the baseline's, and those that could not be read."""
        return [problem for row in self.rows for problem in row.problems]

    @property
    def differing(self) -> list[Row]:
        """The tables that differ between schemas, or are missing in one."""
        return [row for row in self.rows if row.missing or row.differing]

    @property
    def as_recorded(self) -> bool:
        """True when every table exists, is equal in every schema, and is as the ledgers say."""
        return not self.differing and not self.findings and not self.problems

    @property
    def identical(self) -> bool:
        """True when there is something to compare, and it is `as_recorded`."""
        return len(self.schemas) > 1 and self.as_recorded

    @property
    def common_identical(self) -> bool:
        """True when no table that is kept by source month differs in a month of `common`."""
        rows = [row for row in self.rows if row.table != BY_DATE or not self.audited]
        return not any(set(self.common) & set(months) for row in rows for months in row.months.values())

    @property
    def verdict(self) -> Verdict:
        """The worst that was found.

        ``uneven`` is a difference in nothing but months that not all schemas have, or have from the same bytes.
        """
        is_alarm = bool(self.differing) and any(cause.kind == "other rows" for cause in self.causes)
        is_other = any(row.missing for row in self.rows) or any(each.kind == "columns" for each in self.problems)
        if is_alarm or is_other or any(self.unexplained()):
            return "different"
        if self.findings:
            return "not as recorded"
        if self.problems:
            return "not compared"
        if self.differing:
            return "uneven"
        return "identical" if len(self.schemas) > 1 else "as recorded"

    def lacking(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield schema, table, and the months that others have rows of, for each table that no ledger covers."""
        for row in self.rows:
            if not self._datasets(row):
                yield from ((schema, row.table, months) for schema in self.schemas if (months := row.lacking(schema)))

    def unexplained(self) -> Iterator[tuple[str, Row, list[str]]]:
        """Yield schema, table, and months of each difference for which there is no cause.

        The empty string stands for rows without a month.
        """
        for row in self.rows:
            for schema in row.differing:
                explained = self._explained(row, schema)
                left = [month for month in row.parts(schema) if month not in explained]
                if left:
                    yield schema, row, left

    def _datasets(self, row: Row) -> tuple[str, ...]:
        """Return the datasets that a table is made of, as far as ledgers cover them."""
        return made_of(row.table) if self.audited else ()

    def _explained(self, row: Row, schema: str) -> Collection[str]:
        """Return the months of a schema's table that need not be equal: others have no rows, or other bytes."""
        datasets = self._datasets(row)
        if not datasets:
            return row.lacking(schema) + row.lacking(self.baseline)
        causes = [each for each in self.causes if each.schema in (schema, self.baseline) and each.dataset in datasets]
        explained = [month for cause in causes for month in cause.months]
        # The zones are in all rows of the marts, and a date may have trips of any month's file.
        is_whole = "" in explained or (explained and row.table == BY_DATE)
        return explained + row.months[schema] if is_whole else explained

    def to_json(self) -> dict[str, Any]:
        """Return what ``triptych parity --json`` writes; a digest that there is none of is null."""
        return {
            "verdict": self.verdict,
            "identical": self.identical,
            "as_recorded": self.as_recorded,
            "baseline": self.baseline,
            "schemas": self.schemas,
            "absent": self.absent,
            "tables": [
                {
                    "table": row.table,
                    "schemas": {
                        schema: each and {"rows": each.rows, "digest": each.hex} for schema, each in row.digests.items()
                    },
                }
                for row in self.rows
            ],
            "differences": [
                {"table": row.table, "schema": schema, "months": months, "lacks": row.lacking(schema)}
                for row in self.rows
                for schema, months in row.months.items()
            ],
            "problems": [problem.to_json() for problem in self.problems],
            "findings": [finding.to_json() for finding in self.findings],
            "causes": [cause.to_json() for cause in self.causes],
            "common": {"months": self.common, "identical": self.common_identical},
            "whole": self.whole,
            "empty": self.empty,
        }


def compare(connection: Connection, schemas: Sequence[str], baseline: str, scope: Scope = ALL) -> Parity:
    """Compare the tables of `schemas` with those of `baseline`, in one snapshot.

    Where `baseline` does not exist, the first schema takes its place. The tables are those of `scope`; else the
    pipeline's, or all of them where no schema has a ledger of ours. Loads and builds wait until the transaction ends.
    Raise `UsageError` when there is nothing to compare, or a table or column of `scope` does not exist.
    """
    # A schema that is named twice must not be compared with itself.
    schemas = list(dict.fromkeys(schemas))
    ours = with_ledgers(connection, schemas)
    hold(connection, schemas, [*pipeline_tables(), *LEDGERS, *(scope.names or ())] if ours else scope.names)
    present = existing(connection, sorted(schemas, key=lambda schema: schema != baseline))
    if not present:
        missing = ", ".join(map(named, schemas))
        raise UsageError(f"nothing is loaded: no schema {missing}; {_REMEDY}, or name others with --schemas")
    tables = tables_of(connection, present, scope, is_ours=bool(ours))
    keyless = without_month(tables) if scope.months else []
    rows = [compare_table(connection, table, present, each, scope.months) for table, each in tables.items()]
    ledgers = {schema: loaded(_entries(connection, schema) if schema in ours else ()) for schema in present}
    compared = rows
    if ours and scope.names is None:
        datasets = {dataset for entries in ledgers.values() for dataset, _ in entries}
        compared = [each for each in rows if is_compared(each, datasets)]
    if not compared:
        raise UsageError(f"nothing is loaded in {', '.join(map(named, present))}; {_REMEDY}")
    absent = [schema for schema in schemas if schema not in present]
    without_key = [each.table for each in compared if each.table in keyless]
    empty = _empty(compared, scope)
    parity = Parity(present[0], present, absent, compared, [], whole=without_key, empty=empty)
    if ours and scope.month_column is None and any(made_of(each.table) for each in compared):
        findings = [finding for schema in ours for finding in _findings(connection, schema, rows, scope)]
        found = _causes(ledgers, parity, scope)
        return replace(parity, findings=findings, causes=found, common=_common(ledgers, found, scope))
    shared = [each.common() for each in compared if any(one.key is not None for one in tables[each.table].values())]
    return replace(parity, audited=False, common=sorted(set.intersection(*shared)) if shared else [])


def _empty(rows: Sequence[Row], scope: Scope) -> list[str]:
    """Return the months of `scope` without rows. Raise `UsageError` when these are all: no rows are no evidence."""
    asked = [str(month) for month in scope.months or ()]
    there = {month for row in rows for held in row.held.values() for month in held or ()}
    empty = [month for month in asked if month not in there]
    if asked and empty == asked and not any(row.problems for row in rows):
        raise UsageError(f"--months: no table has rows of {spans(asked)}")
    return empty


def _entries(connection: Connection, schema: str) -> Iterable[ledger.Entry]:
    return ledger.entries(connection, schema) if exists(connection, schema, "load_ledger") else ()


def _findings(connection: Connection, schema: str, rows: Sequence[Row], scope: Scope) -> list[Finding]:
    """Return where a schema is not as its ledgers say, in the tables that were asked for and could be read."""
    months = None if scope.months is None else [*map(str, scope.months)]
    found = audit(connection, schema, {row.table: row.held[schema] for row in rows}, months)
    unread = [row.table for row in rows if row.held[schema] is None and schema not in row.missing]
    return [each for each in found if each.table not in unread and (scope.names is None or each.table in scope.names)]


def _causes(ledgers: Mapping[str, Loaded], parity: Parity, scope: Scope) -> list[Cause]:
    """Return why schemas differ from the baseline in the tables and months that were asked for."""
    # The rows of a date may be of a file of any month.
    if any(row.differing for row in parity.rows if row.table == BY_DATE):
        scope = replace(scope, months=None)
    asked = {schema: {key: loaded[key] for key in loaded if scope.has(key[1])} for schema, loaded in ledgers.items()}
    first, *others = parity.schemas
    found = [*not_loaded(asked), *(each for one in others for each in causes(first, asked[first], one, asked[one]))]
    if scope.names is None:
        return found
    return [cause for cause in found if any(cause.dataset in made_of(table) for table in scope.names)]


def _common(ledgers: Mapping[str, Loaded], found: Sequence[Cause], scope: Scope) -> list[str]:
    """Return the months of trips that every schema has loaded, from the same bytes, with the same zones."""
    apart = {month for cause in found if cause.kind != "other rows" for month in cause.months}
    every = [{month for _, month in loaded if month} for loaded in ledgers.values()]
    return [] if "" in apart else [month for month in sorted(set.intersection(*every) - apart) if scope.has(month)]
