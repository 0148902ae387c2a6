"""Stands for dbt: a program with a connection to the warehouse that works until it is ended (``... NAME``)."""

from __future__ import annotations

import sys
import time

from core import database

LIMIT_S = 120.0
"""How long it works when nobody ends it."""


def main() -> None:
    """Ask the warehouse short questions, so that it notices soon when this program is gone."""
    end = time.monotonic() + LIMIT_S
    with database.connect(sys.argv[1], autocommit=True) as connection:
        while time.monotonic() < end:
            connection.execute("SELECT pg_sleep(0.2)")


if __name__ == "__main__":
    main()
