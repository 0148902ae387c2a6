"""A balancer for several servers of one kind: each connection goes to the next of them that accepts it.

    python -m core.lab.balancer PORT SERVER_PORT...

All are on the loopback. It knows nothing of HTTP: a connection to a server that dies is cut, and its client makes
another one. Production has nginx, Traefik or a cloud's balancer in this place, and two of those; the lab has no package
manager to install one with.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress

HOST = "127.0.0.1"

CHUNK = 1 << 16


class Balancer:
    """Passes connections on to `servers`, by their ports, in turn."""

    def __init__(self, servers: Sequence[int]) -> None:
        self._servers = list(servers)

    async def serve(self, port: int) -> None:
        """Listen until killed."""
        async with await asyncio.start_server(self.connected, HOST, port) as listening:
            await listening.serve_forever()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, both ways, until either side closes it. Without a server, close it at once."""
        if (server := await self._connect()) is None:
            writer.close()
            return
        await asyncio.gather(_copy(reader, server[1]), _copy(server[0], writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._servers:
            # The next connection begins with the server after this one.
            self._servers.append(port := self._servers.pop(0))
            with suppress(OSError):
                return await asyncio.open_connection(HOST, port)
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy what is read until there is no more, then close the writer."""
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    ports = [int(word) for word in sys.argv[1:]]
    asyncio.run(Balancer(ports[1:]).serve(ports[0]))
