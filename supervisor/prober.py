"""Ask children how they are, over one kept connection each, on the supervisor's own loop.

A probe is one small request on an open socket: ten children asked every few seconds must not show in ``top``.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from supervisor.probe import Answer, read_answer

HEAD_LIMIT = 16 * 1024
BODY_LIMIT = 1 << 20


class Prober:
    """One child's health URL. ``ask`` may be called again only after it has returned."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        target, name = parts.path or "/", f"[{self._host}]" if ":" in self._host else self._host
        self._request = f"GET {target} HTTP/1.1\r\nHost: {name}:{self._port}\r\n\r\n".encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, timeout_s: float) -> Answer:
        """One question.

        Raises:
            OSError: Nobody answers (refused, reset, timed out, not HTTP).
        """
        try:
            async with asyncio.timeout(timeout_s):
                if self._streams is not None:
                    with contextlib.suppress(OSError, EOFError):
                        # a server may close an idle connection: that says nothing about its health
                        return await self._exchange(*self._streams)
                    self.close()
                self._streams = await asyncio.open_connection(self._host, self._port, limit=HEAD_LIMIT)
                return await self._exchange(*self._streams)
        except EOFError as exc:
            self.close()
            raise ConnectionError("closed without an answer") from exc
        except BaseException:
            self.close()
            raise

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        writer.write(self._request)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            fields = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])}
            if "content-length" in fields:
                length = int(fields["content-length"])
                if not 0 <= length <= BODY_LIMIT:
                    raise ConnectionError(f"an answer of {length} bytes")
                raw = await reader.readexactly(length)
            else:
                raw = await reader.read(BODY_LIMIT)
        except (ValueError, IndexError, asyncio.LimitOverrunError) as exc:
            raise ConnectionError(f"unreadable answer: {type(exc).__name__}") from exc
        if fields.get("connection", "").lower() == "close" or "content-length" not in fields:
            self.close()
        return read_answer(status, raw)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
