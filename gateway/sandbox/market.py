"""Market data for orders in analyze mode: from the feed, or not at all. Nothing here calls the broker."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.model import Instrument
from gateway.batches import Quotes
from gateway.market import Market, MarketParts

WAIT_S = 2.0
LOOK_S = 0.02


class FeedMarket(Market):
    """As ``Market``, with a short wait for the feed's first tick instead of a REST call.

    What the feed does not send within ``WAIT_S`` has no quote (``NO_DATA``). Candles are refused.
    """

    def __init__(self, parts: MarketParts) -> None:
        super().__init__(parts)
        self._feed = parts

    def _ask(self, instruments: Sequence[Instrument]) -> Quotes:
        keys = [instrument.key for instrument in instruments]
        found: Quotes = {}
        if not keys:
            return found
        self._feed.ticks.stream(keys)
        ends = self._feed.clock.monotonic() + WAIT_S
        while len(found) < len(keys):
            for key in keys:
                if key not in found:
                    fresh = self._from_ticks(key)
                    if fresh is not None:
                        found[key] = fresh
            if len(found) < len(keys):
                if self._feed.clock.monotonic() >= ends:
                    break
                self._feed.sleep(LOOK_S)
        return found
