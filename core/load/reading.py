"""A file becomes record batches of its dataset's declared schema: parquet for months, CSV for the lookup."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from core.datasets import Dataset
from core.errors import BadFile, SchemaDrift, quoted
from core.extract import Extracted
from core.load import limits
from core.load.casting import conform, with_identity
from core.load.columns import check_columns
from core.month import Month
from core.run import counted

BATCH_ROWS = 16_384
"""Rows decoded at a time: 3.5 MB on the wire, about what the kernel's socket buffers hold. So the server works on one
batch while the next one is made, without a thread of ours: 0.99 x the time of a COPY of ready bytes at 1M rows, 1.15 x
at 60,000, against 1.13 x and 1.44 x with 65,536 (docs/decisions/0007). Memory does not grow with the file."""


def batches(dataset: Dataset, file: Extracted, month: Month | None) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows as record batches of the declared Arrow schema, in the file's order.

    Raise `BadFile` when the file can't be read, and `SchemaDrift` when its columns or values do not conform.
    """
    try:
        yield from _conformed(dataset, file, month)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadFile(f"{file.name} can't be read: {quoted(line, 200)}; fetch it again from the publisher") from error


def _conformed(dataset: Dataset, file: Extracted, month: Month | None) -> Iterator[pa.RecordBatch]:
    first_row, schema, keys = 1, dataset.arrow, set[object]()
    read = _read_csv if file.name.endswith(".csv") else _read_parquet
    for batch in read(dataset, file):
        arrays = conform(dataset, batch, file.name, first_row)
        if month is not None:
            yield with_identity(month.first_day, arrays, first_row, schema)
        else:
            conformed = pa.RecordBatch.from_arrays(arrays, schema=schema)
            _check_key(dataset, conformed, keys, file.name)
            yield conformed
        first_row += batch.num_rows


def _check_key(dataset: Dataset, batch: pa.RecordBatch, seen: set[object], file: str) -> None:
    if dataset.key is None:
        return
    for value in batch.column(dataset.key).to_pylist():
        if value in seen:
            raise SchemaDrift(f"{file}: {dataset.key} {value!r} is there twice; a lookup has each once")
        seen.add(value)


def _read_parquet(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    coded = limits.check(file.path, file.name)
    with pq.ParquetFile(
        file.path,
        # Read pages as they are needed. By default pyarrow reads a whole row group ahead, and the publisher's files
        # have only one: a peak of 328 MB against 160 MB for a file of 200 MB.
        pre_buffer=False,
        buffer_size=1 << 20,
        # Keep texts in the dictionary that the file has: `conform` sees a long text that all rows share before each row
        # has a copy of it.
        read_dictionary=coded,
        thrift_container_size_limit=limits.CONTAINER,
    ) as content:
        names = check_columns(dataset, content.schema_arrow, file.name)
        columns = names if len(names) < len(content.schema_arrow) else None
        rows = 0
        # In this thread: pyarrow's pool would compete for the core that the server needs, and takes a tenth more CPU.
        for batch in content.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            yield batch
            rows += batch.num_rows
        # One bit in a page's header is enough to make Arrow stop there, without an error: an empty month.
        if rows != (declared := content.metadata.num_rows):
            raise BadFile(
                f"{file.name} declares {counted(declared, 'row')}, and holds {rows}; fetch it again from the publisher"
            )


def _read_csv(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    """Read every column as text, and no text as NULL: the lookup holds ``N/A``, which readers take for NULL."""
    _check_quotes(file)
    with pyarrow.csv.open_csv(file.path) as header:
        check_columns(dataset, pa.schema([(name, pa.string()) for name in header.schema.names]), file.name)
        text = dict.fromkeys(header.schema.names, pa.string())
    options = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    with pyarrow.csv.open_csv(file.path, convert_options=options) as reader:
        yield from reader


def _check_quotes(file: Extracted) -> None:
    """Raise `BadFile` on an odd number of quotes: Arrow stops without an error in a text that was cut."""
    with file.path.open("rb") as content:
        quotes = sum(piece.count(b'"') for piece in iter(lambda: content.read(1 << 20), b""))
    if quotes % 2:
        raise BadFile(
            f"{file.name} is cut off: it ends in the middle of a quoted text; fetch it again from the publisher"
        )
