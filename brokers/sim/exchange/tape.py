"""Who watches what, and what they are shown: snapshots with the users' own trades in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.session import STEP_MS, to_ms
from brokers.sim.exchange.types import Listing, Snapshot

MarketListener = Callable[[list[Snapshot]], None]
_Key = tuple[str, str]


class Tape:
    """The market as clients see it."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._listeners: list[MarketListener] = []
        self._watched: dict[_Key, tuple[int, Listing]] = {}
        self._shown: dict[_Key, int] = {}
        self._own: dict[_Key, tuple[int, int]] = {}
        self._step = -1

    def listen(self, listener: MarketListener) -> None:
        self._listeners.append(listener)

    def watch(self, listing: Listing) -> None:
        key = (listing.exchange, listing.symbol)
        count, _ = self._watched.get(key, (0, listing))
        self._watched[key] = count + 1, listing

    def unwatch(self, listing: Listing) -> None:
        key = (listing.exchange, listing.symbol)
        count, _ = self._watched.get(key, (0, listing))
        if count > 1:
            self._watched[key] = count - 1, listing
        else:
            self._watched.pop(key, None)
            self._shown.pop(key, None)

    def traded(self, listing: Listing, quantity: int) -> None:
        """A user's side of a trade."""
        key = (listing.exchange, listing.symbol)
        volume, count = self._own.get(key, (0, 0))
        self._own[key] = volume + quantity, count + 1

    def new_day(self) -> None:
        """Volumes begin at zero; the count of trades stays in ``seq``, which must never fall."""
        self._own = {key: (0, count) for key, (_, count) in self._own.items()}

    def snapshot(self, listing: Listing, at: datetime) -> Snapshot:
        market = self._prices.snapshot(listing, at)
        volume, count = self._own.get((listing.exchange, listing.symbol), (0, 0))
        if not count:
            return market
        return replace(market, volume=market.volume + volume, seq=market.seq + count)

    def show(self, at: datetime) -> None:
        """Tell the listeners, once a step, which watched listings changed."""
        number = to_ms(at) // STEP_MS
        if number == self._step or not self._listeners:
            return
        self._step = number
        changed = []
        for key, (_, listing) in list(self._watched.items()):
            market = self.snapshot(listing, at)
            if self._shown.get(key) != market.seq:
                self._shown[key] = market.seq
                changed.append(market)
        if changed:
            for listener in self._listeners:
                listener(changed)
