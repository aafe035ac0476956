"""How one listing sees its underlying's path: prices, volumes, open interest, limits."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import TypeVar

from brokers.clock import IST
from brokers.sim.exchange.catalog import Root
from brokers.sim.exchange.path import Day, Minute
from brokers.sim.exchange.pricing import derive
from brokers.sim.exchange.session import MINUTE_MS, Grid, to_ms
from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import EXPIRY_TIME

DECAY_MINUTES = 15
"""A derivative's time to expiry stands still this long, so that its price is monotone in the spot."""
CIRCUIT = 0.10
_OPTION_CIRCUIT = 0.12
"""Move of the spot at which an option's upper limit lies; beyond what ``path.BAND`` lets the path do."""
_YEAR_MS = 365 * 86_400_000
_MEAN_WEIGHT = 36_863
"""Mean volume weight of a minute: a uniform 16-bit number plus 4,096."""

_K = TypeVar("_K")
_V = TypeVar("_V")


def grown(cache: dict[_K, _V], limit: int) -> dict[_K, _V]:
    """The cache with room for one more entry: the oldest leave first."""
    while len(cache) >= limit:
        del cache[next(iter(cache))]
    return cache


class View:
    """What a listing adds to its underlying's path, whatever the day.

    Attributes:
        family: ``NSE`` or ``BSE``, of the underlying.
        day_lots: Lots traded on an average day.
        level_lots: Largest size of one book level, in lots.
        today: The last day looked at.
    """

    __slots__ = (
        "day_lots",
        "derivative",
        "expires_ms",
        "family",
        "key",
        "level_lots",
        "listing",
        "oi_lots",
        "root",
        "spread_ticks",
        "today",
    )

    def __init__(self, listing: Listing, root: Root, seed: int) -> None:
        self.listing = listing
        self.root = root
        self.family = root.exchange.removesuffix("_INDEX")
        self.derivative = listing.expiry is not None
        self.key = blake2b(f"{seed}/{listing.exchange}/{listing.symbol}".encode(), digest_size=16).digest()
        self.today: DayView | None = None
        self.expires_ms = 0
        if listing.expiry is not None:
            self.expires_ms = to_ms(datetime.combine(listing.expiry, EXPIRY_TIME, IST))
        self.day_lots, self.oi_lots, self.spread_ticks = self._activity()
        self.level_lots = max(self.day_lots // 4000, 8) if self.day_lots else 0

    def _activity(self) -> tuple[int, int, int]:
        """Lots a day, open interest in lots, widest spread in ticks."""
        listing, root = self.listing, self.root
        if listing.kind is Kind.INDEX:
            return 0, 0, 1
        if listing.kind is Kind.EQUITY:
            return (root.day_volume if listing.exchange == "NSE" else root.day_volume // 12), 0, 2
        if listing.kind is Kind.FUTURE:
            return (60_000, 250_000, 2) if root.is_index else (8_000, 60_000, 2)
        # options thin out away from the money
        away = abs(listing.strike_paise / (root.base * 100) - 1.0)
        crowd = 1.0 / (1.0 + (away / 0.02) ** 2)
        peak = 400_000 if root.is_index else 6_000
        lots = max(int(peak * crowd), 40)
        return lots, lots * 2, 2 if away < 0.03 else 5

    def oi_at_close(self, day: int) -> int:
        """Open interest in lots at the close of a day."""
        if not self.oi_lots:
            return 0
        raw = blake2b(b"oi" + day.to_bytes(4, "big"), key=self.key, digest_size=2).digest()
        return self.oi_lots * (600 + int.from_bytes(raw, "big") % 800) // 1000


class DayView:
    """One listing on one day. Walks forward cheaply; every answer is the same in any order."""

    __slots__ = (
        "_memo",
        "_memo_bucket",
        "_oi_close",
        "_oi_open",
        "_oi_span",
        "_scale",
        "_so_far",
        "day",
        "grid",
        "lower_circuit",
        "open",
        "previous_close",
        "previous_oi",
        "upper_circuit",
        "view",
    )

    def __init__(self, view: View, grid: Grid, before: Grid, day: Day) -> None:
        self.view = view
        self.grid = grid
        self.day = day
        self._memo: dict[int, int] = {}
        self._memo_bucket = -1
        self._so_far = (0, 0, 1 << 60)  # buckets seen, high, low
        self._scale = _MEAN_WEIGHT * grid.settle_minutes
        lot = view.listing.lot_size
        self._oi_open, self._oi_close = view.oi_at_close(grid.previous), view.oi_at_close(grid.day)
        self._oi_span = grid.minutes
        self.previous_oi = self._oi_open * lot
        self.open = self.price(day.open, 0)
        if view.derivative:
            last = (before.minutes - 1) // DECAY_MINUTES * DECAY_MINUTES
            self.previous_close = self._derive(day.previous_close, before.opens_ms + last * MINUTE_MS)
        else:
            self.previous_close = day.previous_close
        self.lower_circuit, self.upper_circuit = self._circuits()

    def _circuits(self) -> tuple[int, int]:
        listing = self.view.listing
        tick = listing.tick_paise
        if listing.kind is Kind.INDEX:
            return 0, 0
        if listing.kind in (Kind.EQUITY, Kind.FUTURE):
            low = -(-int(self.previous_close * (1 - CIRCUIT)) // tick) * tick
            return max(low, tick), int(self.previous_close * (1 + CIRCUIT)) // tick * tick
        move = 1 + _OPTION_CIRCUIT if listing.kind is Kind.CALL else 1 - _OPTION_CIRCUIT
        best = self._derive(int(self.day.previous_close * move), self.grid.opens_ms)
        return tick, max(best, 20 * tick)

    def _derive(self, spot: int, ms: int) -> int:
        view = self.view
        listing = view.listing
        years = max(view.expires_ms - ms, 0) / _YEAR_MS
        return derive(
            listing.kind, spot, listing.strike_paise, years, view.root.volatility, listing.tick_paise
        )

    def price(self, spot: int, minute: int) -> int:
        """The listing's price for a spot price within a minute of the day."""
        if not self.view.derivative:
            return spot
        bucket = minute // DECAY_MINUTES
        if bucket != self._memo_bucket:
            self._memo_bucket = bucket
            self._memo = {}
        value = self._memo.get(spot)
        if value is None:
            at = self.grid.opens_ms + bucket * DECAY_MINUTES * MINUTE_MS
            value = self._memo[spot] = self._derive(spot, at)
        return value

    def extremes(self, minute: int, high: int, low: int) -> tuple[int, int]:
        """The day's high and low so far, given the spot's within the running minute."""
        day = self.day
        bucket = minute // DECAY_MINUTES
        seen, top, bottom = self._so_far
        if seen > bucket:
            seen, top, bottom = 0, 0, 1 << 60
        while seen < bucket:
            span = slice(seen * DECAY_MINUTES, (seen + 1) * DECAY_MINUTES)
            first, last = self._span(seen * DECAY_MINUTES, max(day.highs[span]), min(day.lows[span]))
            top, bottom = max(top, first), min(bottom, last)
            seen += 1
        self._so_far = (seen, top, bottom)
        started = bucket * DECAY_MINUTES
        if minute > started:
            high = max(high, *day.highs[started:minute])
            low = min(low, *day.lows[started:minute])
        now_top, now_bottom = self._span(minute, high, low)
        return max(top, now_top), min(bottom, now_bottom)

    def _span(self, minute: int, high: int, low: int) -> tuple[int, int]:
        """The listing's high and low for a spot's high and low."""
        if self.view.listing.kind is Kind.PUT:
            high, low = low, high
        return self.price(high, minute), self.price(low, minute)

    def lots(self, weight: int) -> int:
        """Lots traded for a volume weight of the day."""
        return weight * self.view.day_lots // self._scale

    def oi(self, minute: int) -> int:
        """Open interest in units after a minute."""
        moved = (self._oi_close - self._oi_open) * (minute + 1) // self._oi_span
        return (self._oi_open + moved) * self.view.listing.lot_size

    def rows(self, first: int, last: int) -> list[tuple[int, int, int, int, int, int, int]]:
        """Minutes ``first`` … ``last`` - 1: open, high, low, close, lots before, lots after, OI."""
        if first >= last:
            return []
        day, lots, oi = self.day, self.lots, self.oi
        before = [lots(w) for w in day.weight[first : last + 1]]
        opens = [day.open_of(first), *day.closes[first : last - 1]]
        spots = zip(opens, day.highs[first:last], day.lows[first:last], day.closes[first:last], strict=True)
        if not self.view.derivative:
            return [(o, h, low, c, before[i], before[i + 1], 0) for i, (o, h, low, c) in enumerate(spots)]
        put = self.view.listing.kind is Kind.PUT
        price = self.price
        found = []
        for i, (o, h, low, c) in enumerate(spots):
            m = first + i
            top, bottom = (low, h) if put else (h, low)
            found.append(
                (price(o, m), price(top, m), price(bottom, m), price(c, m), before[i], before[i + 1], oi(m))
            )
        return found

    def running(self, minute: Minute) -> tuple[int, int, int, int, int, int, int]:
        """The row of a minute that has not ended, as far as it was walked."""
        m = minute.index
        weight = self.day.weight[m]
        high, low = self._span(m, minute.high, minute.low)
        return (
            self.price(self.day.open_of(m), m),
            high,
            low,
            self.price(minute.price, m),
            self.lots(weight),
            self.lots(weight + minute.share(minute.weight)),
            self.oi(m),
        )
