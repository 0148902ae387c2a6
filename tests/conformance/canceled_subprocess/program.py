"""Stands for dbt: a program with a connection to the warehouse that works until it is ended (``... NAME``)."""

from __future__ import annotations

import os
import sys
import time

import psycopg

from core.settings import settings

LIMIT_S = 120.0
"""How long it works when nobody ends it."""


def main() -> None:
    """Ask the warehouse short questions, so that it notices soon when this program is gone."""
    name = f"{sys.argv[1]} pid={os.getpid()}"
    end = time.monotonic() + LIMIT_S
    with psycopg.connect(settings().dsn or "", application_name=name, autocommit=True) as connection:
        while time.monotonic() < end:
            connection.execute("SELECT pg_sleep(0.2)")


if __name__ == "__main__":
    main()
