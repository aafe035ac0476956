"""Loopback calls to the instance's api process: small, cancellable, over a few kept connections.

An asyncio client rather than a threaded one, so that a hanging api process cannot hold up an orderly stop.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from brokers.errors import BrokerDown
from gateway.settings import Settings

_MOST_BYTES = 8 * 1024 * 1024
_MOST_KEPT = 2
"""A new connection costs the api process a thread; an order causes several calls."""


class ApiLink:
    """Calls carry the instance's internal key; the api process answers on loopback."""

    def __init__(self, settings: Settings) -> None:
        self._host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        self._port = settings.port
        self._key = settings.internal_key
        self._kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: object, *, timeout_s: float = 10.0) -> tuple[int, Any]:
        """HTTP status and decoded JSON (None when there is none). ``body`` is encoded with msgspec.

        Raises:
            BrokerDown: The api process did not answer whole.
        """
        return await self._call("POST", path, msgspec.json.encode(body), timeout_s)

    async def get(self, path: str, *, timeout_s: float = 5.0) -> tuple[int, Any]:
        """As ``post``, without a body."""
        return await self._call("GET", path, b"", timeout_s)

    async def _call(self, method: str, path: str, body: bytes, timeout_s: float) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(method, path, body)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, msgspec.MsgspecError) as exc:
            # TimeoutError is an OSError, IncompleteReadError an EOFError
            raise BrokerDown(
                f"the instance's api process on port {self._port} does not answer ({type(exc).__name__})"
            ) from exc

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Algo-Internal: {self._key.reveal()}\r\n\r\n"
        )
        while True:
            kept = self._kept.pop() if self._kept else None
            reader, writer = kept or await asyncio.open_connection(self._host, self._port, limit=_MOST_BYTES)
            whole = False
            try:
                if not reader.at_eof():
                    writer.write(head.encode() + body)
                    await writer.drain()
                    first = await reader.read(1)
                    if first or kept is None:
                        status, data, whole = await _answer(first, reader)
                        return status, data
                # the api process closed a kept connection before it read this: ask on another one
            except ConnectionError:
                if kept is None:
                    raise
            finally:
                if whole and len(self._kept) < _MOST_KEPT:
                    self._kept.append((reader, writer))
                else:
                    writer.close()


async def _answer(first: bytes, reader: asyncio.StreamReader) -> tuple[int, Any, bool]:
    """Status, decoded body, and whether the connection may be used again. ``first`` was read already."""
    lines = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    length = headers.get("content-length")
    if length is not None:
        data = await reader.readexactly(int(length))
    else:
        data = b"" if status == 204 else await reader.read(_MOST_BYTES)
    keep = headers.get("connection", "").lower() == "keep-alive" and (length is not None or status == 204)
    return status, msgspec.json.decode(data) if data else None, keep
