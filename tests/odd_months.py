"""Months whose rows break a data test of severity ``warn``, made from the sample files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.extract import sample
from core.month import Month

UNDOCUMENTED = 9
"""A vendor's code that no month has had: each row with it breaks `codes_are_documented`."""


def rewrite(path: Path, column: str, values: Sequence[Any]) -> None:
    """Replace the first values of a column of a parquet file; the others stay."""
    table = pq.read_table(path)
    kind = table.schema.field(column)
    changed = pa.array([*values, *table[column].to_pylist()[len(values) :]], kind.type)
    pq.write_table(table.set_column(table.column_names.index(column), kind, changed), path)


def undocumented_codes(folder: Path, month: str, rows: int) -> None:
    """Give the first `rows` rows of a month's file a vendor's code that is not documented."""
    rewrite(folder / sample.file_name(Month.parse(month)), "VendorID", [UNDOCUMENTED] * rows)
