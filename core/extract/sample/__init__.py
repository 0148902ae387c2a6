"""Sample data: months of taxi trips with the shape and the traps of the publisher's files, generated from a seed.

    python -m core.extract.sample FOLDER MONTHS [--cab yellow] [--seed N] [--rows N]

`published` says how the publisher writes, `rows` draws the trips, `files` writes them. A month's bytes depend only on
(cab, seed, month, rows), and on the version of pyarrow that encodes them.
"""

from __future__ import annotations

from core.extract.sample.files import ensure, table, write_month, write_zones
from core.extract.sample.published import LEGACY, MODERN, RESAVED, ZONES, Cab, Encoding, check_month, file_name
from core.extract.sample.rows import FEWEST_ROWS, HARD_VALUES, NULL_BLOCK, PARTS, ROWS, SEED

__all__ = [
    "FEWEST_ROWS", "HARD_VALUES", "LEGACY", "MODERN", "NULL_BLOCK", "PARTS", "RESAVED", "ROWS", "SEED", "ZONES",
    "Cab", "Encoding", "check_month", "ensure", "file_name", "table", "write_month", "write_zones",
]  # fmt: skip
