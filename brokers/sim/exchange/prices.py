"""Seeded market data: a pure function of (seed, listing, time), at any instant and without state.

Caches keep days and minutes already computed; they change no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b

from brokers.calendar import Calendar
from brokers.sim.exchange.path import Day, Minute
from brokers.sim.exchange.session import (
    DAY_MS,
    IST_MS,
    MINUTE_MS,
    STEP_MS,
    Grid,
    Place,
    Sessions,
    from_ms,
    to_ms,
)
from brokers.sim.exchange.types import BookLevel, Kind, Listing, SimCandle, Snapshot
from brokers.sim.exchange.universe import Universe
from brokers.sim.exchange.view import DayView, View, grown

__all__ = ["INTERVALS", "STEP_MS", "Prices"]

INTERVALS = {
    "1m": 1,
    "2m": 2,
    "3m": 3,
    "5m": 5,
    "10m": 10,
    "15m": 15,
    "25m": 25,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
}
"""Minutes of a bar; ``D`` is the session."""

_CACHED_DAYS = 4096
_CACHED_VIEWS = 20_000
_LEVELS = 5

# open, high, low, close in paise, lots traded before and after, open interest
Row = tuple[int, int, int, int, int, int, int]


class Prices:
    """Snapshots and candles of every listing of a universe.

    Derivatives follow their underlying's path; their candles come from its four prices. A derivative whose
    exchange closes later than its underlying's is priced on a continued path until then.
    """

    def __init__(self, seed: int, universe: Universe, hours: Calendar) -> None:
        self.seed = seed
        self.universe = universe
        self.hours = hours
        self._sessions = Sessions(hours)
        self._days: dict[tuple[str, int], Day] = {}
        self._minutes: dict[str, tuple[int, Minute]] = {}
        self._views: dict[tuple[str, str], View] = {}

    # --- what callers ask

    def snapshot(self, listing: Listing, at: datetime) -> Snapshot:
        """The market at an instant; while the market is closed, as it stood at the close.

        An index has no book, no volume and no circuit limits. A book side holds fewer than five levels
        where the next one would be below a tick or beyond a circuit limit.
        """
        view = self._view(listing)
        place = self._sessions.place(view.family, view.derivative, to_ms(at))
        day, minute = self._stand(view, place)
        today = self._day_view(view, place.grid, day)
        price = today.price(minute.price, place.minute)
        high, low = today.extremes(place.minute, minute.high, minute.low)
        lots = today.lots(day.weight[place.minute] + minute.share(minute.weight))
        lot = listing.lot_size
        traded_ms = place.ms - (place.step - minute.traded) * STEP_MS
        oi = today.oi(place.minute)
        bids, asks, totals = self._book(view, today, price, traded_ms // STEP_MS)
        indexed = listing.kind is Kind.INDEX
        return Snapshot(
            listing=listing,
            at=at,
            seq=traded_ms // STEP_MS,
            ltp_paise=price,
            open_paise=today.open,
            high_paise=high,
            low_paise=low,
            prev_close_paise=today.previous_close,
            average_paise=0 if indexed else self._average(view, today, place, minute, low, high),
            last_quantity=0 if indexed else max(today.lots(minute.share(minute.step_weight)), 1) * lot,
            last_trade_at=from_ms(traded_ms),
            volume=lots * lot,
            oi=oi,
            oi_day_high=max(oi, today.oi(0)),
            oi_day_low=min(oi, today.oi(0)),
            prev_oi=today.previous_oi,
            total_buy=totals[0],
            total_sell=totals[1],
            lower_circuit_paise=today.lower_circuit,
            upper_circuit_paise=today.upper_circuit,
            bids=bids,
            asks=asks,
        )

    def ltp(self, listing: Listing, at: datetime) -> int:
        """Last traded price alone, in paise; cheaper than a snapshot."""
        view = self._view(listing)
        place = self._sessions.place(view.family, view.derivative, to_ms(at))
        day, minute = self._stand(view, place)
        return self._day_view(view, place.grid, day).price(minute.price, place.minute)

    def trade_at(self, listing: Listing, step: int) -> tuple[int, int] | None:
        """Price in paise and quantity traded in one step (milliseconds since the epoch / 250).

        None if the step traded nothing or the market was closed. A step that traded has at least one lot.
        """
        view = self._view(listing)
        ms = step * STEP_MS
        if not self._sessions.is_open(view.family, view.derivative, ms):
            return None
        place = self._sessions.place(view.family, view.derivative, ms)
        day, minute = self._stand(view, place)
        if minute.traded != place.step:
            return None
        today = self._day_view(view, place.grid, day)
        lots = max(today.lots(minute.share(minute.step_weight)), 1)
        return today.price(minute.price, place.minute), lots * listing.lot_size

    def candles(
        self,
        listing: Listing,
        start: datetime,
        end: datetime,
        interval: str,
        until: datetime | None = None,
    ) -> list[SimCandle]:
        """Bars whose opening lies in ``[start, end)``, oldest first.

        Bars are counted from the session's opening; a daily bar opens with its session.

        Args:
            interval: A key of ``INTERVALS``, or ``D``.
            until: The market as known at this instant: later bars are missing and the running one ends at
                its last step. None computes the future too.

        Raises:
            KeyError: Unknown interval.
        """
        view = self._view(listing)
        first, last = to_ms(start), to_ms(end)
        known = last + DAY_MS if until is None else to_ms(until)
        bars: list[SimCandle] = []
        for day in range((first + IST_MS) // DAY_MS, (last - 1 + IST_MS) // DAY_MS + 1):
            grid = self._sessions.grid(view.family, day)
            if grid is not None:
                bars += self._session_bars(view, grid, (first, min(last, known + 1)), interval, known)
        return bars

    # --- days, minutes, views: computed once, kept

    def _view(self, listing: Listing) -> View:
        key = (listing.exchange, listing.symbol)
        view = self._views.get(key)
        if view is None:
            view = View(listing, self.universe.root(listing.root), self.seed)
            grown(self._views, _CACHED_VIEWS)[key] = view
        return view

    def _day(self, view: View, grid: Grid) -> Day:
        key = (view.root.symbol, grid.day)
        day = self._days.get(key)
        if day is None:
            path = self.universe.path(view.root.symbol)
            day = path.day(grid.day, grid.previous, grid.minutes, grid.settle_minutes)
            grown(self._days, _CACHED_DAYS)[key] = day
        return day

    def _day_view(self, view: View, grid: Grid, day: Day) -> DayView:
        if view.today is None or view.today.grid is not grid:
            before = self._sessions.grid(view.family, grid.previous) or grid
            view.today = DayView(view, grid, before, day)
        return view.today

    def _minute(self, root: str, day: Day, index: int) -> Minute:
        known = self._minutes.get(root)
        if known is not None and known[0] == day.day and known[1].index == index:
            return known[1]
        minute = Minute(day, index)
        self._minutes[root] = (day.day, minute)
        return minute

    def _stand(self, view: View, place: Place) -> tuple[Day, Minute]:
        day = self._day(view, place.grid)
        return day, self._minute(view.root.symbol, day, place.minute).advance(place.step)

    # --- parts of a snapshot

    def _average(self, view: View, today: DayView, place: Place, minute: Minute, low: int, high: int) -> int:
        day = today.day
        share = minute.share(minute.weight)
        weight = day.weight[place.minute] + share
        if not weight:
            return today.price(minute.price, place.minute)
        spot = (day.turnover[place.minute] + share * minute.price) // weight
        average = today.price(spot, place.minute) if view.derivative else spot
        return min(max(average, low), high)

    def _book(
        self, view: View, today: DayView, price: int, step: int
    ) -> tuple[tuple[BookLevel, ...], tuple[BookLevel, ...], tuple[int, int]]:
        listing = view.listing
        if listing.kind is Kind.INDEX:
            return (), (), (0, 0)
        raw = blake2b(step.to_bytes(8, "big"), key=view.key, digest_size=4 + 4 * _LEVELS).digest()
        tick, lot, depth = listing.tick_paise, listing.lot_size, view.level_lots
        spread = tick * (1 + raw[1] % view.spread_ticks)
        bid, ask = (price, price + spread) if raw[0] & 1 else (price - spread, price)
        sizes = raw[4:]
        bids = tuple(
            BookLevel(bid - i * tick, lot * (1 + sizes[i] * depth // 256), 1 + sizes[i + 5] % 24)
            for i in range(_LEVELS)
            if bid - i * tick >= today.lower_circuit
        )
        asks = tuple(
            BookLevel(ask + i * tick, lot * (1 + sizes[i + 10] * depth // 256), 1 + sizes[i + 15] % 24)
            for i in range(_LEVELS)
            if ask + i * tick <= today.upper_circuit
        )
        behind = lot * depth * 8
        return (
            bids,
            asks,
            (
                sum(level.quantity for level in bids) + behind * (64 + raw[2]) // 128,
                sum(level.quantity for level in asks) + behind * (64 + raw[3]) // 128,
            ),
        )

    # --- candles

    def _session_bars(
        self, view: View, grid: Grid, window: tuple[int, int], interval: str, known_ms: int
    ) -> Iterator[SimCandle]:
        length = grid.minutes if view.derivative else grid.settle_minutes
        size = length if interval == "D" else INTERVALS[interval]
        opens = grid.opens_ms
        # first and last bar whose opening lies in the window
        low = max(-(-(window[0] - opens) // (size * MINUTE_MS)), 0)
        high = min(-(-(window[1] - opens) // (size * MINUTE_MS)), -(-length // size))
        if low >= high:
            return
        rows = self._rows(view, grid, low * size, min(high * size, length), known_ms)
        lot = view.listing.lot_size
        for at in range(0, len(rows), size):
            bar = rows[at : at + size]
            yield SimCandle(
                from_ms(opens + (low * size + at) * MINUTE_MS),
                bar[0][0],
                bar[0][1] if size == 1 else max(row[1] for row in bar),
                bar[0][2] if size == 1 else min(row[2] for row in bar),
                bar[-1][3],
                (bar[-1][5] - bar[0][4]) * lot,
                bar[-1][6],
            )

    def _rows(self, view: View, grid: Grid, first: int, last: int, known_ms: int) -> list[Row]:
        """Minutes ``first`` … ``last`` - 1 of a session, as far as known."""
        day = self._day(view, grid)
        before = self._sessions.grid(view.family, grid.previous) or grid
        today = DayView(view, grid, before, day)
        running, rest = divmod(known_ms - grid.opens_ms, MINUTE_MS)
        rows = today.rows(first, min(last, running))
        if first <= running < last:
            minute = Minute(day, running).advance(rest // STEP_MS)
            rows.append(today.running(minute))
        return rows
