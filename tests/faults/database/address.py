"""The one address of a server that all its clients know: a proxy whose connections can be cut, and led elsewhere.

In production it is a virtual IP, a DNS name or PgBouncer. It passes bytes on, and knows nothing of what they say.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

HOST = "127.0.0.1"

CHUNK = 65_536

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Upstream = Callable[[], Awaitable[Streams]]
"""Connects to the server."""


def at_port(port: int) -> Upstream:
    """Return how to reach a server at a port of the loopback."""
    return lambda: asyncio.open_connection(HOST, port)


def at_socket(path: str) -> Upstream:
    """Return how to reach a server at a Unix socket; ``@`` begins the name of one that is no file, as in PostgreSQL."""
    return lambda: asyncio.open_unix_connection(path.replace("@", "\0", 1))


class Address:
    """A port of the loopback that leads to a server. Its methods may be called by any thread."""

    def __init__(self, upstream: Upstream) -> None:
        self.port = 0
        self._upstream = upstream
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None

    def refuse(self) -> None:
        """Cut every connection, and refuse each new one."""
        self._call(self._refuse())

    def lead_to(self, upstream: Upstream) -> None:
        """Accept connections again, at the same port, and pass them on to another place."""
        self._call(self._lead_to(upstream))

    async def _refuse(self) -> None:
        if self._listening:
            self._listening.close()
            self._listening = None
        for writer in self._open:
            writer.transport.abort()

    async def _lead_to(self, upstream: Upstream) -> None:
        self._upstream = upstream
        if self._listening is None:
            self._listening = await asyncio.start_server(self._connected, HOST, self.port, backlog=256)
            self.port = self._listening.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = {writer}
        self._open.add(writer)
        try:
            with suppress(OSError):
                answers, there = await self._upstream()
                both.add(there)
                self._open.add(there)
                await asyncio.gather(_copy(reader, there), _copy(answers, writer))
        finally:
            self._open -= both
            for each in both:
                each.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_ended())

    async def _until_ended(self) -> None:
        self._ended = asyncio.Event()
        await self._lead_to(self._upstream)
        self._started.set()
        await self._ended.wait()
        await self._refuse()

    def __enter__(self) -> Address:
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="address of the server", daemon=True)
        self._thread.start()
        if not self._started.wait(30):
            raise RuntimeError("the proxy did not start to listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy what is read until there is no more, then close the writer."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def moved(address: Address, to: Upstream) -> Iterator[None]:
    """Refuse all connections while the block is executed, and lead to another place from then on."""
    address.refuse()
    try:
        yield
    finally:
        address.lead_to(to)
