"""Why the tables of a schema differ from the baseline's, as far as the two load ledgers show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.errors import quoted
from core.lab.audit import backfill
from core.ledger import Entry
from core.month import spans
from core.run import DATASET

Kind = Literal["not loaded", "other bytes", "other rows"]

Loaded = Mapping[tuple[str, str], Entry]
"""The entries of one ledger by dataset and month (empty for a dataset that is not monthly)."""


@dataclass(frozen=True)
class Cause:
    """Why `schema` differs from others in these months of a dataset, and the line that says so.

    Only ``other rows`` is an alarm: two loaders made different rows of the same bytes. The other two say that the
    schemas were not given the same files.
    """

    schema: str
    dataset: str
    months: tuple[str, ...]
    kind: Kind
    line: str

    def to_json(self) -> dict[str, Any]:
        """Return the cause as ``triptych parity --json`` writes it."""
        return {**asdict(self), "months": list(self.months)}


def loaded(entries: Iterable[Entry]) -> Loaded:
    """Return a ledger's entries by dataset and month."""
    return {(entry.dataset, f"{entry.month:%Y-%m}" if entry.month else ""): entry for entry in entries}


def not_loaded(ledgers: Mapping[str, Loaded]) -> Iterator[Cause]:
    """Yield what each schema has not loaded and another one has, given their ledgers by schema."""
    every = {key for loaded in ledgers.values() for key in loaded}
    for schema, loaded in ledgers.items():
        for dataset in sorted({dataset for dataset, _ in every - loaded.keys()}):
            months = sorted(month for name, month in every - loaded.keys() if name == dataset)
            again = f": {backfill(schema, dataset, months)}" if all(months) else ""
            words = (_unless_usual(dataset), spans(months) if all(months) else "")
            line = f"{schema} has not loaded {' '.join(filter(None, words))}{again}"
            yield Cause(schema, dataset, tuple(months), "not loaded", line)


def causes(baseline: str, theirs: Loaded, schema: str, ours: Loaded) -> Iterator[Cause]:
    """Yield why `schema`, which has loaded `ours`, differs from `baseline`, in what both have loaded."""
    for dataset in sorted({dataset for dataset, _ in ours.keys() | theirs.keys()}):
        mine, other = ({m: each for (d, m), each in some.items() if d == dataset} for some in (ours, theirs))
        both = sorted(mine.keys() & other.keys())
        differ = [month for month in both if mine[month].source_sha256 != other[month].source_sha256]
        if differ:
            text = _other_bytes(baseline, mine[differ[0]], other[differ[0]])
            yield Cause(schema, dataset, tuple(differ), "other bytes", _line(schema, dataset, differ, text))
        rows = [m for m in both if m not in differ and mine[m].content_digest != other[m].content_digest]
        if rows:
            text = f"has other rows than {baseline}'s, made from the same bytes: one of the two loads is wrong"
            yield Cause(schema, dataset, tuple(rows), "other rows", _line(schema, dataset, rows, text))


def _other_bytes(baseline: str, ours: Entry, theirs: Entry) -> str:
    sources = f"source {quoted(ours.source or 'unknown')} / {quoted(theirs.source or 'unknown')}"
    files = f"SHA-256 {ours.source_sha256[:12]} / {theirs.source_sha256[:12]}"
    remedy = "load both again" if ours.source == theirs.source else "load both from one source"
    return f"was loaded from other bytes than {baseline}'s ({sources}; {files}): {remedy}"


def _line(schema: str, dataset: str, months: list[str], text: str) -> str:
    what = spans(months) if all(months) else ""
    return " ".join(filter(None, (f"{schema}:", _unless_usual(dataset), what, text)))


def _unless_usual(dataset: str) -> str:
    """Return the dataset for a line that is about months of another one than usual, or about no months."""
    return "" if dataset == DATASET else dataset
