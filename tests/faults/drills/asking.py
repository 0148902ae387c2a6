"""A question that is put to the warehouse again and again while a drill is carried out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.contract.bench import Bench

Ask = Callable[[psycopg.Connection[Any]], None]


@contextmanager
def asking(bench: Bench, ask: Ask, pause_s: float) -> Iterator[None]:
    """Call `ask` every `pause_s` seconds in a thread until the block ends; then raise what else went wrong in it.

    The server may be killed, or stopped: what is lost with a connection is asked on the next one.
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(bench.lab.dsn, autocommit=True, connect_timeout=5) as connection:
                    while not over.wait(pause_s):
                        ask(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                over.wait(pause_s)

    with ThreadPoolExecutor(1) as pool:
        asker = pool.submit(repeat)
        try:
            yield
        finally:
            over.set()
    asker.result()
