"""What is known of each subscribed symbol, and how old it is. Pure: no socket, no clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from brokers.errors import AlgoError
from brokers.model import INDEX_EXCHANGES, InstrumentKey, Mode
from gateway.stream.topics import Name, pin, topic

Source = Literal["stream", "rest"]


class NoQuote(AlgoError):
    """Neither the stream nor REST has a fresh quote; the message says why and how old the newest tick is."""


@dataclass(frozen=True, slots=True)
class LiveQuote:
    """One instrument now. Prices in rupees; ``None`` where the source does not say (an index has no book).

    Attributes:
        last_update: When this machine received it, aware UTC.
        source: ``stream`` or ``rest``.
        seq: Number of the tick on its channel; None from REST.
    """

    exchange: str
    symbol: str
    ltp: float
    bid: float | None
    ask: float | None
    bid_quantity: int | None
    ask_quantity: int | None
    volume: int | None
    oi: int | None
    last_update: datetime
    source: Source
    seq: int | None = None


def key_of(symbol: str) -> InstrumentKey:
    """``NSE:SBIN``, ``NFO:NIFTY28MAR2420800CE``; a bare ``SBIN`` means NSE."""
    return pin(symbol)


def topic_of(key: InstrumentKey) -> bytes:
    """The richest topic of an instrument; subscribing to it subscribes the instrument at the broker."""
    mode = Mode.QUOTE if key.exchange in INDEX_EXCHANGES else Mode.DEPTH
    return topic(Name(key.exchange, key.symbol, mode)).encode()


class Book:
    """The newest quote of every subscribed instrument, from either source.

    Args:
        max_age_s: Up to this age a quote is fresh.

    Attributes:
        gaps: Messages missing by their numbers since the start.
    """

    def __init__(self, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        self.received = 0
        self.gaps = 0
        self._topics: dict[bytes, InstrumentKey] = {}
        self._ticks: dict[InstrumentKey, bytes] = {}
        self._seqs: dict[InstrumentKey, int] = {}
        self._rest: dict[InstrumentKey, LiveQuote] = {}

    def add(self, keys: Iterable[InstrumentKey]) -> list[bytes]:
        """Hold these; the topics to subscribe now. Raises ``ValueError`` for a symbol without a topic."""
        new = {topic_of(key): key for key in keys}
        fresh = [topic for topic in new if topic not in self._topics]
        self._topics.update(new)
        return fresh

    def remove(self, keys: Iterable[InstrumentKey]) -> list[bytes]:
        """Let go; the topics to unsubscribe now. What was known of them is forgotten."""
        gone = []
        for key in keys:
            found = topic_of(key)
            if self._topics.pop(found, None) is not None:
                gone.append(found)
            for known in (self._ticks, self._seqs, self._rest):
                known.pop(key, None)
        return gone

    def take(self, topic: bytes, payload: bytes) -> None:
        """One message of the stream. What was not asked for is ignored."""
        key = self._topics.get(topic)
        if key is None:
            return
        self.received += 1
        self._ticks[key] = payload
        at = payload.find(b'"seq":')
        end = payload.find(b",", at)
        number = int(payload[at + 6 : end]) if at >= 0 and end > at else 0
        last = self._seqs.get(key)
        self._seqs[key] = number
        if last is not None and number > last + 1:
            self.gaps += number - last - 1

    def fresh(self, key: InstrumentKey, now: datetime) -> LiveQuote | None:
        """The newest quote if it is fresh: of the stream, else the last answer of REST."""
        newest = self.newest(key)
        for quote in (newest, self._rest.get(key)):
            if quote is not None and (now - quote.last_update).total_seconds() <= self.max_age_s:
                return quote
        return None

    def newest(self, key: InstrumentKey) -> LiveQuote | None:
        """The newest tick of the stream, however old."""
        raw = self._ticks.get(key)
        return None if raw is None else from_tick(key, msgspec.json.decode(raw))

    def keep(self, key: InstrumentKey, quote: LiveQuote) -> None:
        """An answer of REST: fresh for as long as a tick would be, so that a quiet symbol costs few calls."""
        self._rest[key] = quote

    def explain(self, key: InstrumentKey, now: datetime, why: str) -> NoQuote:
        """The error for an instrument nobody has a quote of."""
        newest = self.newest(key)
        age = (
            "no tick yet"
            if newest is None
            else f"newest tick {(now - newest.last_update).total_seconds():.1f} s old"
        )
        held = age if topic_of(key) in self._topics else "not subscribed"
        return NoQuote(f"no fresh quote of {key}: {held}; REST: {why}")


def _known(value: Any) -> Any:
    """The stream writes 0 for what the broker never sent."""
    return value or None


def from_tick(key: InstrumentKey, data: Mapping[str, Any]) -> LiveQuote:
    """Source: openalgo-api section 4, tick fields."""
    return LiveQuote(
        exchange=key.exchange,
        symbol=key.symbol,
        ltp=float(data["ltp"]),
        bid=_known(data.get("bid")),
        ask=_known(data.get("ask")),
        bid_quantity=_known(data.get("bid_quantity")),
        ask_quantity=_known(data.get("ask_quantity")),
        volume=data.get("volume"),
        oi=data.get("oi"),
        last_update=datetime.fromtimestamp(data["timestamp"] / 1000, UTC),
        source="stream",
        seq=data.get("seq"),
    )


def from_depth(key: InstrumentKey, data: Mapping[str, Any], now: datetime) -> LiveQuote:
    """``data`` of ``POST /api/v1/depth``. Source: openalgo-api, depth."""
    bid: Mapping[str, Any] = next(iter(data.get("bids") or ()), {})
    ask: Mapping[str, Any] = next(iter(data.get("asks") or ()), {})
    return LiveQuote(
        exchange=key.exchange,
        symbol=key.symbol,
        ltp=float(data["ltp"]),
        bid=_known(bid.get("price")),
        ask=_known(ask.get("price")),
        bid_quantity=_known(bid.get("quantity")),
        ask_quantity=_known(ask.get("quantity")),
        volume=data.get("volume"),
        oi=data.get("oi"),
        last_update=now,
        source="rest",
    )


def from_quotes(key: InstrumentKey, data: Mapping[str, Any], now: datetime) -> LiveQuote:
    """``data`` of ``POST /api/v1/quotes``, for what has no book."""
    return LiveQuote(
        exchange=key.exchange,
        symbol=key.symbol,
        ltp=float(data["ltp"]),
        bid=_known(data.get("bid")),
        ask=_known(data.get("ask")),
        bid_quantity=None,
        ask_quantity=None,
        volume=data.get("volume"),
        oi=data.get("oi"),
        last_update=now,
        source="rest",
    )
