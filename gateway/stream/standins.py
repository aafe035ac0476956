"""What stands in for the world while a recording is played: connections, instrument table, the one key."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from brokers.model import Instrument, InstrumentKey
from gateway.scopes import Grant
from gateway.stream.badframes import BadFrames

log = logging.getLogger(__name__)


class PlayedSocket:
    """Stands for a connection: gives out what was recorded, takes what is sent and forgets it."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[bytes | str] = asyncio.Queue()

    def put(self, data: bytes | str) -> None:
        self._heard.put_nowait(data)

    async def recv(self, decode: bool | None = None) -> bytes | str:
        return await self._heard.get()

    async def send(self, message: object) -> None:
        """Nobody listens."""


class RecordedTable:
    """The instruments a recording names; ``lookup.Table`` and ``InstrumentLookup``."""

    def __init__(self) -> None:
        self._known: dict[InstrumentKey, Instrument] = {}

    def add(self, instrument: Instrument) -> None:
        self._known[instrument.key] = instrument

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._known.get(key)

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        where = (broker_exchange, token)
        return next((i for i in self._known.values() if (i.broker_exchange, i.token) == where), None)

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        where = (broker_exchange, broker_symbol)
        return next((i for i in self._known.values() if (i.broker_exchange, i.broker_symbol) == where), None)

    def find(self, text: str, exchange: str | None = None) -> Instrument | None:
        wanted = text.upper()
        for key, instrument in self._known.items():
            if key.symbol.upper() == wanted and exchange in (None, key.exchange):
                return instrument
        return None

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]:
        return [key.symbol for key in self._known if key.exchange == exchange][:n]

    def rows(self, exchange: str | None = None) -> Iterator[Instrument]:
        return (i for i in list(self._known.values()) if exchange in (None, i.key.exchange))

    def count(self) -> int:
        return len(self._known)


class Unkept(BadFrames):
    """Counts and says what could not be read; the recording has it already."""

    def __init__(self) -> None:
        super().__init__(Path(), lambda: datetime.now(UTC))

    def keep(self, frame: bytes, reason: str) -> None:
        self.count += 1
        log.info("unreadable frame of %d bytes: %s", len(frame), reason)


class OneKey:
    """The one API key of a throw-away instance."""

    def __init__(self, key: str) -> None:
        self._key = key

    def verify(self, text: str) -> Grant | None:
        return Grant(1) if secrets.compare_digest(text, self._key) else None

    def live(self) -> frozenset[int] | None:
        return None
