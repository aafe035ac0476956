"""Market data for orders in analyze mode: from the feed, or not at all. Nothing here calls the broker."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.errors import InvalidRequest
from brokers.model import Instrument, InstrumentKey, Quote
from gateway.marketdata.batches import Quotes
from gateway.marketdata.market import Market, MarketParts

WAIT_S = 2.0
LOOK_S = 0.02


class FeedMarket(Market):
    """As ``Market``, with a short wait for the feed's first tick instead of a REST call.

    What has only a last price (an index of some brokers) is a quote with that price and zeros: enough for
    what orders ask, the price of an option's underlying.
    """

    def __init__(self, parts: MarketParts) -> None:
        super().__init__(parts)
        self._feed = parts

    def quote(self, key: InstrumentKey) -> Quote:
        """Raises ``InvalidRequest`` (NO_DATA) when the feed sends no price within ``WAIT_S``."""
        instrument = self.instrument(key)
        found = self._ask([instrument])
        if key not in found:
            raise InvalidRequest(f"The feed sends no price of {key}; nothing was done", code="NO_DATA")
        return found[key]

    def _ask(self, instruments: Sequence[Instrument]) -> Quotes:
        keys = [instrument.key for instrument in instruments]
        found: Quotes = {}
        ends = self._feed.clock.monotonic() + WAIT_S
        asked = False
        while True:
            for key in keys:
                if key not in found and (quote := self._heard(key)) is not None:
                    found[key] = quote
            if len(found) == len(keys) or self._feed.clock.monotonic() >= ends:
                return found
            if not asked:
                asked = True
                self._feed.ticks.stream(keys)
            self._feed.sleep(LOOK_S)

    def _heard(self, key: InstrumentKey) -> Quote | None:
        whole = self._from_ticks(key)
        if whole is not None:
            return whole
        price = self._feed.ticks.last_price(key, self._feed.rules.price_age_s)
        if price is None:
            return None
        return Quote(key, price, open=0.0, high=0.0, low=0.0, prev_close=0.0, volume=0, oi=0)
