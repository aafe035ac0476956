"""Seeded market data: a pure function of (seed, listing, time), at any instant and without state."""

from __future__ import annotations

from datetime import datetime

from brokers.calendar import Calendar
from brokers.sim.exchange.types import Listing, SimCandle, Snapshot
from brokers.sim.exchange.universe import Universe

STEP_MS = 250
"""Grid of the price path: nothing changes between two steps."""


class Prices:
    """Snapshots and candles of every listing of a universe."""

    def __init__(self, seed: int, universe: Universe, hours: Calendar) -> None:
        self.seed = seed
        self.universe = universe
        self.hours = hours

    def snapshot(self, listing: Listing, at: datetime) -> Snapshot:
        """The market at an instant; while the market is closed, as it stood at the close."""
        raise NotImplementedError

    def ltp(self, listing: Listing, at: datetime) -> int:
        """Last traded price alone, in paise; cheaper than a snapshot."""
        raise NotImplementedError

    def candles(self, listing: Listing, start: datetime, end: datetime, interval: str) -> list[SimCandle]:
        """Bars whose opening lies in ``[start, end)``, oldest first.

        Args:
            interval: ``1m 2m 3m 5m 10m 15m 25m 30m 1h 2h 4h D``; bars are counted from the session's opening.
        """
        raise NotImplementedError
