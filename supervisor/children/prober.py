"""Ask children how they are, over one kept connection each, on the supervisor's own loop.

A probe is one small request on an open socket: ten children asked every few seconds must not show in ``top``.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from supervisor.children.answer import Answer, read_answer

ANSWER_LIMIT = 1 << 20


class Prober:
    """One child's health URL. ``ask`` may be called again only after it has returned."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        target, name = parts.path or "/", f"[{self._host}]" if ":" in self._host else self._host
        self._request = f"GET {target} HTTP/1.1\r\nHost: {name}:{self._port}\r\n\r\n".encode()
        self._wire: _Wire | None = None

    async def ask(self, timeout_s: float) -> Answer:
        """One question.

        Raises:
            OSError: Nobody answers (refused, reset, timed out, not HTTP).
        """
        with contextlib.ExitStack() as undo:
            # whatever ends a question early, the rest of its answer must not be taken for the next one's
            undo.callback(self.close)
            answer = await self._answered(timeout_s)
            undo.pop_all()
        return answer

    async def _answered(self, timeout_s: float) -> Answer:
        if self._wire is not None and not self._wire.closed:
            try:
                return await self._wire.exchange(self._request, timeout_s)
            except ConnectionError:
                # a server may close an idle connection: that says nothing about its health
                self.close()
        self._wire = await self._connect(timeout_s)
        return await self._wire.exchange(self._request, timeout_s)

    async def _connect(self, timeout_s: float) -> _Wire:
        async with asyncio.timeout(timeout_s):
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(_Wire, self._host, self._port)
            return wire

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


class _Wire(asyncio.Protocol):
    """One connection. A protocol rather than streams: a third of their time for each question."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._answer: asyncio.Future[Answer] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def exchange(self, request: bytes, timeout_s: float) -> Answer:
        loop = asyncio.get_running_loop()
        assert self._transport is not None
        self._data, self._answer = b"", loop.create_future()
        self._transport.write(request)
        timer = loop.call_later(timeout_s, self._fail, TimeoutError("no answer in time"))
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            self._parse(ended=False)
        except (ValueError, IndexError) as exc:
            self._fail(ConnectionError(f"unreadable answer: {type(exc).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        with contextlib.suppress(ValueError, IndexError):
            self._parse(ended=True)
        self._fail(ConnectionError("closed without an answer"))

    def _parse(self, *, ended: bool) -> None:
        """Answer once the body is whole: by its length, or by the end of the connection."""
        if len(self._data) > ANSWER_LIMIT:
            raise ValueError("too long")
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(":", 1) for line in lines[1:])
        length = int(fields["content-length"]) if "content-length" in fields else None
        if length is not None and not 0 <= length <= ANSWER_LIMIT:
            raise ValueError("length")
        whole = ended if length is None else len(body) >= length
        if not whole or self._answer is None or self._answer.done():
            return
        answer = read_answer(int(lines[0].split()[1]), body[:length])
        if fields.get("connection", "").strip() == "close":
            self.close()
        self._answer.set_result(answer)

    def _fail(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()
