"""Whether a file's columns are those that its dataset declares: names and types, before any value is read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.types as pt

from core.datasets import DATE, DOUBLE, INTEGER, TEXT, TIMESTAMP, Column, Dataset, Kind
from core.errors import SchemaDrift, quoted

_LIST_LETTERS = 280
"""The space that a message has for a list of columns: enough for every list that a re-saved file has needed so far."""


def check_columns(dataset: Dataset, published: pa.Schema, file: str) -> list[str]:
    """Return the names of the columns to read: all of the file's, except an index that pandas declares as its own.

    Raise `SchemaDrift` on unknown, repeated or missing required columns, and on a type that can never conform.
    """
    known = {spelling.lower(): column for column in dataset.columns for spelling in column.spellings}
    names: list[str] = published.names
    unknown = [name for name in published.names if name.lower() not in known]
    if unknown:
        index = _pandas_index(published)
        unknown = [name for name in unknown if name not in index]
        names = [name for name in names if name not in index or name.lower() in known]
    if unknown:
        raise SchemaDrift(_unknown(dataset, [*dict.fromkeys(unknown)], file))
    _check_once(known, names, file)
    missing = [column for column in dataset.columns if not column.nullable and column.spelling_in(names) is None]
    if missing:
        listed, are = _subject([repr(column.published) for column in missing])
        raise SchemaDrift(f"{file}: required {listed} {are} missing; fetch the file again from the publisher")
    _check_types({name: known[name.lower()].kind for name in names}, published, file)
    return names


def _pandas_index(published: pa.Schema) -> set[str]:
    """Return the columns that the file's own metadata declares to be the index of a pandas frame."""
    try:
        declared = json.loads((published.metadata or {}).get(b"pandas", b""))["index_columns"]
        return {name for name in declared if isinstance(name, str)}
    except (ValueError, TypeError, KeyError, RecursionError):
        # pandas did not write the file, or the metadata is damaged: no column is left out.
        return set()


# --- names ----------------------------------------------------------------------------------------------------------


def _unknown(dataset: Dataset, names: Sequence[str], file: str) -> str:
    """Return the message for columns that match no declared one, with what to do about each sort of them."""
    meant = {_plain(text): c.published for c in dataset.columns for text in (c.name, *c.spellings)}
    expected = [meant.get(_plain(name)) for name in names]
    is_index = [name.startswith(("Unnamed:", "__index_level_")) for name in names]
    shown = [
        quoted(repr(name)) + (f" (expected: {other!r})" if other else "")
        for name, other in zip(names, expected, strict=True)
    ]
    remedies = {
        "rename to what is expected": any(expected),
        "write the file with index=False": any(is_index),
        "write the file without what was added; if the publisher added it, update Triptych": not all(
            other or index for other, index in zip(expected, is_index, strict=True)
        ),
    }
    listed, are = _subject(shown)
    declared = "one that" if are == "is" else "among those that"
    remedy = "; ".join(text for text, applies in remedies.items() if applies)
    return f"{file}: {listed} {are} not {declared} {dataset.name} declares; {remedy}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _check_once(known: dict[str, Column], names: Sequence[str], file: str) -> None:
    spelled: dict[str, str] = {}
    for name in names:
        column = known[name.lower()].name
        other = spelled.get(column)
        spelled[column] = name
        if other == name:
            raise SchemaDrift(f"{file}: column {name!r} is there twice; fetch the file again from the publisher")
        if other is not None:
            raise SchemaDrift(
                f"{file}: columns {other!r} and {name!r} are the same one under two names, and a file has one of "
                "them; fetch it again from the publisher"
            )


def _subject(names: Sequence[str]) -> tuple[str, str]:
    """Return columns as a sentence's subject, and its verb: "column 'a'", "is"; "columns 'a' and 2 more", "are"."""
    if len(names) == 1:
        return f"column {names[0]}", "is"
    lengths = itertools.accumulate(len(name) + 2 for name in names)
    fit = max(1, sum(letters <= _LIST_LETTERS for letters in lengths))
    if fit < len(names):
        return f"columns {', '.join(names[:fit])} and {len(names) - fit} more", "are"
    return f"columns {', '.join(names[:-1])} and {names[-1]}", "are"


# --- types ----------------------------------------------------------------------------------------------------------


def is_text(kind: pa.DataType) -> bool:
    """Return whether the type is one of Arrow's types of text."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or is_text(kind))


def _is_single(kind: pa.DataType) -> bool:
    return bool(pt.is_float32(kind) or pt.is_float16(kind))


def _is_double(kind: pa.DataType) -> bool:
    return _is_number(kind) and not _is_single(kind)


def _is_timestamp(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind) and kind.tz is None) or is_text(kind)


_ACCEPTED: dict[Kind, Callable[[pa.DataType], bool]] = {
    INTEGER: _is_number,
    DOUBLE: _is_double,
    TIMESTAMP: _is_timestamp,
    TEXT: is_text,
    DATE: pt.is_date,
}
"""The published types from which a column of each kind may be cast."""


def _check_types(kinds: dict[str, Kind], published: pa.Schema, file: str) -> None:
    faults: dict[str, list[str]] = {}
    for name, declared in kinds.items():
        if fault := _type_fault(declared, published.field(name).type):
            faults.setdefault(fault, []).append(name)
    for fault, names in faults.items():
        listed, are = _subject([*map(repr, names)])
        raise SchemaDrift(f"{file}: {listed} {are} {fault}")


def _type_fault(declared: Kind, kind: pa.DataType) -> str | None:
    """Return why no column of that type conforms, and what to write instead; None when its values decide."""
    plain = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_null(plain) or _ACCEPTED[declared](plain):
        return None
    if pt.is_timestamp(plain) and plain.tz is not None:
        return (
            f"{quoted(plain)}: a time zone would shift every value; write local time without a zone (Spark: "
            "timestamp_ntz; ClickHouse: toString, because text like '2024-01-31 23:59:59' loads)"
        )
    # docs/decisions/0010
    if declared is DOUBLE and _is_single(plain):
        return (
            f"{plain}: single precision can't hold cents (9.3 becomes 9.300000190734863); write double "
            "(pandas: .astype('float64').round(2))"
        )
    return f"{quoted(plain)}, which is never a {declared.arrow}; write it as {declared.arrow}"
