"""Whether a schema is as its own ledgers say: raw tables, the ledger's numbers, marts, and what is not built yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from core import ledger
from core.database import Connection
from core.datasets import DATASETS, TRIPS, ZONES
from core.digest import Held, total
from core.ledger import Entry
from core.month import spans
from core.run import DATASET, own_schema

if TYPE_CHECKING:
    from core.transform.marts import Mart


@dataclass(frozen=True)
class Finding:
    """A table of `schema` that is not as a ledger says, the months concerned (none: all), and what to do about it."""

    schema: str
    table: str
    months: tuple[str, ...]
    problem: str
    remedy: str

    def __str__(self) -> str:
        name = f"{self.schema}.{self.table}" if self.table else f"{self.schema}:"
        return f"{' '.join(filter(None, (name, spans(self.months))))} {self.problem}: {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as ``triptych parity --json`` writes it."""
        return {**asdict(self), "months": list(self.months)}


@dataclass(frozen=True)
class Schema:
    """A schema: what its tables hold (None for one that does not exist), and its load ledger.

    With `months`, only these were read.
    """

    name: str
    held: Mapping[str, Held | None]
    entries: Sequence[Entry]
    months: Collection[str] | None = None

    def was_read(self, month: str) -> bool:
        """Return whether a month was read. The empty string is what is not kept by month, and always read."""
        return self.months is None or not month or month in self.months

    @property
    def loaded(self) -> list[str]:
        """The months that the models are built from."""
        return [_month(entry) for entry in self.entries if entry.month and entry.dataset == self.dataset]

    @property
    def dataset(self) -> str:
        """The monthly dataset that the schema holds."""
        return next((entry.dataset for entry in self.entries if entry.month and entry.dataset in DATASETS), DATASET)


def backfill(schema: str, dataset: str, months: Iterable[str], *options: str) -> str:
    """Return the command that loads `months` of a dataset into a schema."""
    from core.lab.registry import BASELINE, orchestrators
    from core.settings import settings

    owner = next((name for name in orchestrators(settings()) if own_schema(name, dataset) == schema), None)
    words = ["triptych", "backfill", spans(months), "--on", owner or BASELINE]
    words += [] if dataset == DATASET else ["--dataset", dataset]
    return f"`{' '.join([*words, *([] if owner else ['--schema', schema]), *options])}`"


def audit(
    connection: Connection, schema: str, held: Mapping[str, Held | None], months: Collection[str] | None = None
) -> list[Finding]:
    """Return where `schema` is not as its ledgers say.

    `held` is what its tables hold in the same snapshot; with `months`, only of these.
    """
    entries = list(ledger.entries(connection, schema)) if exists(connection, schema, "load_ledger") else []
    one = Schema(schema, held, entries, months)
    return [
        *_raw(one),
        *_altered(one),
        *_fences(connection, one),
        *_marts(connection, one),
        *_pending(connection, one),
    ]


def exists(connection: Connection, schema: str, name: str) -> bool:
    """Return whether a table, view or sequence of that name exists."""
    written = sql.Identifier(schema, name).as_string(connection)
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [written]).fetchone() == (True,)


def _month(entry: Entry) -> str:
    return entry.month.isoformat()[:7] if entry.month else ""


def _named(months: Iterable[str]) -> tuple[str, ...]:
    """Return the months, without the empty string that stands for a table without months."""
    return tuple(month for month in months if month)


# --- the raw tables ----------------------------------------------------------------------------------------------


def _raw(schema: Schema) -> Iterator[Finding]:
    """Compare the raw tables with the load ledger, which records what the files held."""
    empty = total([])
    for name in (schema.dataset, ZONES.name):
        if name not in DATASETS:
            continue
        recorded = {_month(entry): entry.content_digest for entry in schema.entries if entry.dataset == name}
        there = schema.held.get(DATASETS[name].table) or {}
        differ = [
            month
            for month in sorted(recorded.keys() | there.keys())
            if schema.was_read(month) and recorded.get(month, empty.hex) != there.get(month, empty).hex
        ]
        if differ:
            problem = "is not what its ledger says"
            yield Finding(schema.name, DATASETS[name].table, _named(differ), problem, _load_again(schema, name, differ))
    for name in sorted({entry.dataset for entry in schema.entries} - DATASETS.keys()):
        problem = f"names the dataset {name!r}, which this version does not know"
        yield Finding(schema.name, "load_ledger", (), problem, "compare with the version that loaded it")


def _load_again(schema: Schema, dataset: str, months: Iterable[str]) -> str:
    """Return the command that loads `months` of a dataset again, whatever the ledger says."""
    # Each backfill loads the lookup.
    if dataset == ZONES.name:
        months = schema.loaded[:1] or _named(schema.held.get(TRIPS) or ())[:1]
    if named := _named(months):
        return f"{backfill(schema.name, schema.dataset, named, '--force')}, from the same --source, loads it again"
    return f"load it again from a program: core.pipeline.ingest of {dataset!r}, with Run.force"


def _altered(schema: Schema) -> Iterator[Finding]:
    """Yield the entries whose row count was changed: their digest, which includes the count, is still the table's."""
    for entry in schema.entries:
        table = DATASETS[entry.dataset].table if entry.dataset in DATASETS else ""
        there = (schema.held.get(table) or {}).get(_month(entry), total([]))
        is_same = schema.was_read(_month(entry)) and there.hex == entry.content_digest
        if is_same and there.rows != entry.row_count:
            problem = f"says {entry.row_count} rows of {entry.dataset}, and {table} has {there.rows}"
            remedy = _load_again(schema, entry.dataset, [_month(entry)])
            yield Finding(schema.name, "load_ledger", _named([_month(entry)]), problem, remedy)


def _fences(connection: Connection, schema: Schema) -> Iterator[Finding]:
    """Compare the ledger's fencing tokens with each other, and with the sequence that they were drawn from."""
    if not schema.entries:
        return
    remedy = "the next load raises it above the ledger"
    if not exists(connection, schema.name, "load_fence"):
        yield Finding(schema.name, "load_fence", (), "is missing", "the next load creates it above the ledger")
    elif _may_read(connection, schema.name, "load_fence"):
        drawn, recorded = ledger.fences(connection, schema.name)
        if drawn < recorded:
            yield Finding(schema.name, "load_fence", (), f"stands at {drawn}, below {recorded} in load_ledger", remedy)
    for entry in schema.entries:
        if schema.was_read(_month(entry)) and entry.seen < entry.fence:
            problem = f"has seen {entry.seen} of {entry.dataset}, below its fence {entry.fence}"
            remedy = _load_again(schema, entry.dataset, [_month(entry)])
            yield Finding(schema.name, "load_ledger", _named([_month(entry)]), problem, remedy)


def _may_read(connection: Connection, schema: str, sequence: str) -> bool:
    """Return whether this role may read it: a grant on all tables of a schema includes no sequence."""
    written = sql.Identifier(schema, sequence).as_string(connection)
    return connection.execute("SELECT has_sequence_privilege(%s, 'SELECT')", [written]).fetchone() == (True,)


# --- the marts ------------------------------------------------------------------------------------------------------


def _marts(connection: Connection, schema: Schema) -> Iterator[Finding]:
    """Compare each mart with the record of its last build."""
    from core.transform.marts import LEDGER, MARTS

    kept = exists(connection, schema.name, LEDGER)
    recorded = _recorded(connection, schema.name, LEDGER) if kept else {}
    for mart in MARTS:
        there, left = schema.held.get(mart.name), recorded.get(mart.name, {})
        if there is None and left:
            yield Finding(schema.name, mart.name, (), "is gone since its last build", _build(schema))
        elif there is not None and not kept:
            problem = f"was built by a version that kept no {LEDGER}"
            yield Finding(schema.name, mart.name, (), problem, _build(schema))
        elif there is not None:
            held = {month: (content.rows, content.hex) for month, content in there.items()}
            read = [month for month in sorted(held.keys() | left.keys()) if schema.was_read(month)]
            differ = [month for month in read if held.get(month) != left.get(month)]
            if differ:
                problem, months = "is not what its last build left", _named(differ)
                remedy = _rebuild(schema, _sources(connection, schema, mart, months))
                yield Finding(schema.name, mart.name, months, problem, remedy)


def _recorded(connection: Connection, schema: str, name: str) -> dict[str, dict[str, tuple[int, str]]]:
    """Return what the marts' ledger records: by mart and month, the number of rows and the digest."""
    query = sql.SQL("SELECT model, month, row_count, content_digest FROM {}").format(sql.Identifier(schema, name))
    recorded: dict[str, dict[str, tuple[int, str]]] = {}
    for model, month, rows, content in connection.execute(query):
        recorded.setdefault(model, {})[month.isoformat()[:7]] = (rows, content)
    return recorded


def _sources(connection: Connection, schema: Schema, mart: Mart, months: Sequence[str]) -> list[str]:
    """Return the loaded months whose rows are in `months` of a mart: a file holds pickups of other months too."""
    made_of = {*months}
    if exists(connection, schema.name, "fct_trips"):
        query = sql.SQL("SELECT DISTINCT source_month FROM {} WHERE {} = ANY ({}::date[])")
        days = [dt.date.fromisoformat(f"{month}-01") for month in months]
        rows = connection.execute(query.format(sql.Identifier(schema.name, "fct_trips"), mart.month, days))
        made_of |= {month.isoformat()[:7] for (month,) in rows}
    return [month for month in schema.loaded if month in made_of]


def _rebuild(schema: Schema, months: Sequence[str]) -> str:
    """Return the command that builds `months` of the marts again."""
    if not months:
        return "no loaded month has rows of it: delete them"
    return f"{backfill(schema.name, schema.dataset, months, '--force')}, from the same --source, rebuilds it"


def _build(schema: Schema) -> str:
    """Return the command that builds all that is not built."""
    if not schema.loaded:
        return "no month is loaded that it could be built from"
    return f"{backfill(schema.name, schema.dataset, schema.loaded[:1])}, from the same --source, builds it"


# --- what is not built yet ------------------------------------------------------------------------------------------


def _pending(connection: Connection, schema: Schema) -> Iterator[Finding]:
    """Compare the loaded versions with those that the models were last built from."""
    from core.transform import ZONES as LOOKUP
    from core.transform import built_versions, loaded_versions

    if not schema.loaded or schema.held.get("raw_zones") is None:
        return
    kept = exists(connection, schema.name, "transform_ledger")
    loaded, built = loaded_versions(connection, schema.name), built_versions(connection, schema.name) if kept else {}
    read = [month for month in schema.loaded if schema.was_read(month)]
    keys = {month: (schema.dataset, dt.date.fromisoformat(f"{month}-01")) for month in read}
    pending = [month for month, key in keys.items() if loaded[key] != built.get(key)]
    if pending:
        remedy = f"{backfill(schema.name, schema.dataset, pending)}, from the same --source, builds it"
        yield Finding(schema.name, "", tuple(pending), f"{_are(pending)} loaded and not built yet", remedy)
    no_more = sorted(month.isoformat()[:7] for _, month in built.keys() - loaded.keys() if month)
    gone = tuple(month for month in no_more if schema.was_read(month))
    if gone:
        yield Finding(schema.name, "", gone, f"{_are(gone)} built and no longer loaded", _build(schema))
    if built and loaded[LOOKUP] != built.get(LOOKUP):
        yield Finding(schema.name, "", (), "the zones are loaded and not built yet", _build(schema))


def _are(months: Sequence[str]) -> str:
    return "is" if len(months) == 1 else "are"
