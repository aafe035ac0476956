"""The asyncio client: the same book, read by a task of the caller's loop."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Self

import zmq
import zmq.asyncio

from gateway.client.book import Book, LiveQuote, key_of
from gateway.client.rest import Rest, RestFailed


class AsyncClient:
    """As ``Client``; use it in an ``async with``, on one loop. Only ``quote`` and ``ltp`` wait, for REST."""

    def __init__(
        self,
        stream: str,
        *,
        rest: str = "",
        api_key: str = "",
        max_age_s: float = 5.0,
        timeout_s: float = 5.0,
    ) -> None:
        self._book = Book(max_age_s)
        self._rest = Rest(rest, api_key, timeout_s)
        self._address = stream
        self._context = zmq.asyncio.Context()
        self._ticks = self._context.socket(zmq.SUB)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._ticks.connect(self._address)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._ticks.close(0)
        self._context.term()

    @property
    def gaps(self) -> int:
        """Ticks missing by their numbers since the start."""
        return self._book.gaps

    async def subscribe(self, *symbols: str) -> None:
        """Hear these from now on; the instance subscribes them at the broker."""
        for topic in self._book.add(map(key_of, symbols)):
            self._ticks.setsockopt(zmq.SUBSCRIBE, topic)

    async def unsubscribe(self, *symbols: str) -> None:
        """Hear these no more."""
        for topic in self._book.remove(map(key_of, symbols)):
            self._ticks.setsockopt(zmq.UNSUBSCRIBE, topic)

    async def ltp(self, symbol: str) -> float:
        """The last price in rupees. Raises as ``quote``."""
        return (await self.quote(symbol)).ltp

    async def quote(self, symbol: str) -> LiveQuote:
        """The newest quote of the stream if it is fresh, else of REST; ``source`` says which.

        Raises:
            NoQuote: Neither has one.
        """
        key = key_of(symbol)
        found = self._book.fresh(key, datetime.now(UTC))
        if found is not None:
            return found
        try:
            found = await asyncio.to_thread(self._rest.quote, key)
        except RestFailed as exc:
            raise self._book.explain(key, datetime.now(UTC), str(exc)) from exc
        self._book.keep(key, found)
        return found

    async def _read(self) -> None:
        while True:
            parts = await self._ticks.recv_multipart()
            if len(parts) == 2:
                self._book.take(parts[0], parts[1])
