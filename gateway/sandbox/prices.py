"""Prices of the paper broker: what the instance's own feed says, never a question to the broker.

A symbol somebody trades on paper is streamed by the feed (over its own sockets) like one somebody watches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from brokers.clock import Clock
from brokers.model import InstrumentKey, Mode
from brokers.sim.exchange.types import BookLevel, Listing
from gateway.marketdata.ticks import TickCache

DECIMALS = 4
"""Currencies have prices such as 83.4525; every price of the sandbox counts in that unit."""
_SCALE: int = 10_000
_ENDLESS = 1 << 50
_MODES = (Mode.DEPTH, Mode.QUOTE, Mode.LTP)
_LOOK_S = 0.01
FOLLOW_S = 60.0
"""A streamed symbol is let go by the tick cache some minutes after the last question about it."""


@dataclass(frozen=True, slots=True)
class Touch:
    """The market of one symbol as a tick showed it; prices in units of ``DECIMALS``.

    The last level of each side is endless: what lies behind the levels a feed shows nobody knows, and an
    order larger than they are shall not hang half filled. A side that has no level in a tick that knows the
    other side has nobody on it; a tick that knows neither (LTP alone) trades at its price.
    """

    at_ms: int
    ltp_paise: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]

    @property
    def seq(self) -> int:
        return self.at_ms


def units(price: float) -> int:
    return round(price * _SCALE)


def touch_of(payload: bytes) -> Touch | None:
    """A tick of the bus as a market; None without a price."""
    data = msgspec.json.decode(payload)
    if not isinstance(data, dict) or not data.get("ltp") or data["ltp"] < 0:
        return None
    ltp = units(data["ltp"])
    book = data.get("depth") or {}
    bids = _levels(book.get("buy"), data.get("bid"), data.get("bid_quantity"))
    asks = _levels(book.get("sell"), data.get("ask"), data.get("ask_quantity"))
    if not bids and not asks:
        bids = asks = (BookLevel(ltp, _ENDLESS, 1),)
    return Touch(int(data.get("timestamp") or 0), ltp, bids, asks)


def _levels(rows: Any, price: Any, quantity: Any) -> tuple[BookLevel, ...]:
    found = [(units(r["price"]), int(r["quantity"])) for r in rows or () if r["price"] > 0 < r["quantity"]]
    if not found and price:
        found = [(units(price), int(quantity or 1))]
    if not found:
        return ()
    *first, (last, _) = found
    return (*(BookLevel(p, q, 1) for p, q in first), BookLevel(last, _ENDLESS, 1))


class LivePrices:
    """The tick cache in the words of the matching engine. Thread-safe.

    Args:
        price_age_s: An older tick is no market to trade in, though still the last known price.
    """

    def __init__(
        self,
        ticks: TickCache,
        clock: Clock,
        price_age_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ticks = ticks
        self._clock = clock
        self._age_ms = int(price_age_s * 1000)
        self._sleep = sleep
        # by key and mode: the payload a touch was made from, so that a quiet symbol is decoded once
        self._decoded: dict[tuple[InstrumentKey, Mode], tuple[bytes, Touch | None]] = {}
        self._marks: dict[InstrumentKey, int] = {}
        self._followed: dict[InstrumentKey, float] = {}

    def follow(self, key: InstrumentKey) -> None:
        """Have the feed stream a symbol from now on (said again only every minute)."""
        now = self._clock.monotonic()
        if now < self._followed.get(key, float("-inf")):
            return
        self._followed[key] = now + FOLLOW_S
        self._ticks.want([key])
        self._ticks.stream([key])

    def touch(self, key: InstrumentKey) -> Touch | None:
        """The market now; None when no tick is young enough."""
        return self._newest(key, fresh=True)

    def wait(self, key: InstrumentKey, patience_s: float) -> Touch | None:
        """As ``touch``; for a symbol without one, wait a moment for the first tick of the feed."""
        self.follow(key)
        found = self.touch(key)
        ends = self._clock.monotonic() + patience_s
        while found is None and self._clock.monotonic() < ends:
            self._sleep(_LOOK_S)
            found = self.touch(key)
        return found

    def mark(self, key: InstrumentKey) -> int | None:
        """The last known price in units, of any age; None when there never was one."""
        self._ticks.want([key])
        newest = self._newest(key, fresh=False)
        if newest is not None:
            self._marks[key] = newest.ltp_paise
        return self._marks.get(key)

    def remember(self, key: InstrumentKey, mark: int) -> None:
        """A price known from elsewhere (a fill, an earlier run) until a tick knows better."""
        self._marks[key] = mark

    def last_price(self, key: InstrumentKey) -> float | None:
        """Rupees, of a young tick only: for the checks before an order. Never blocks."""
        self.follow(key)
        found = self.touch(key)
        return None if found is None else found.ltp_paise / _SCALE

    def price_now(self, key: InstrumentKey, patience_s: float) -> float | None:
        """As ``last_price``, with a short wait for the feed's first tick."""
        found = self.wait(key, patience_s)
        return None if found is None else found.ltp_paise / _SCALE

    def is_young(self, touch: Touch) -> bool:
        return touch.at_ms >= self._oldest_ms()

    def _oldest_ms(self) -> int:
        return self._clock.time_ns() // 1_000_000 - self._age_ms

    # what the matching engine asks

    def snapshot(self, listing: Listing, at: datetime) -> Touch | None:
        return self.touch(InstrumentKey(listing.exchange, listing.symbol))

    def trade_at(self, listing: Listing, number: int) -> tuple[int, int] | None:
        """Nothing: there are no steps to look back at, quotes are pushed."""
        return None

    def decode(self, key: InstrumentKey, mode: Mode, payload: bytes) -> Touch | None:
        known = self._decoded.get((key, mode))
        if known is not None and known[0] is payload:
            return known[1]
        found = touch_of(payload)
        self._decoded[key, mode] = (payload, found)
        return found

    def _newest(self, key: InstrumentKey, *, fresh: bool) -> Touch | None:
        oldest_ms = self._oldest_ms() if fresh else 0
        best: Touch | None = None
        for mode in _MODES:
            payload = self._ticks.raw(key, mode)
            if payload is None:
                continue
            found = self.decode(key, mode, payload)
            if found is None or found.at_ms < oldest_ms:
                continue
            if fresh:
                return found  # the richest young one
            if best is None or found.at_ms > best.at_ms:
                best = found
        return best
