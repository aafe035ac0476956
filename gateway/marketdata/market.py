"""Market data of one instance: the broker's REST within its windows, or a fresh tick instead."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from brokers.clock import Clock
from brokers.contract import Capabilities, RawHistory, Rest
from brokers.errors import AlgoError, InvalidRequest, LoginRequired, NotReady, NotSupported, RateLimited
from brokers.model import Candle, Depth, Instrument, InstrumentKey, Quote
from gateway.marketdata.batches import QuoteBatches, Quotes
from gateway.marketdata.ticks import TickCache
from gateway.store.instruments import InstrumentStore
from gateway.trading.limiter import Grant, Lane, Limiter

log = logging.getLogger(__name__)

HISTORY_TRIES = 3


@dataclass(frozen=True, slots=True)
class MarketRules:
    """Times in seconds.

    Attributes:
        tick_age_s: A tick at most this old answers a quote instead of the broker.
        price_age_s: A price at most this old is a "last known price" for an order's protection.
        quote_deadline_s, history_deadline_s: Longest wait for a slot in the broker's windows.
        history_gap_s: Least time between two history calls of this process.
        stream_at_most: A question about up to this many instruments makes the feed stream them, so that the
            next one is answered from ticks; a larger one is a scan and takes no room in the feed.
    """

    tick_age_s: float = 2.0
    price_age_s: float = 10.0
    quote_deadline_s: float = 10.0
    history_deadline_s: float = 60.0
    history_gap_s: float = 0.35
    stream_at_most: int = 20


@dataclass(frozen=True, slots=True)
class MarketParts:
    """What the market is built from.

    Attributes:
        on_login_required: The broker refused the session; must not block.
        sleep: Waits that many seconds (a test hands in its own).
    """

    rest: Rest
    instruments: InstrumentStore
    limiter: Limiter
    capabilities: Capabilities
    clock: Clock
    ticks: TickCache
    rules: MarketRules = MarketRules()
    on_login_required: Callable[[], None] = lambda: None
    sleep: Callable[[float], None] = time.sleep


class Market:
    """Quotes, depth and candles by key. Thread-safe. Raises broker errors and ``InvalidRequest``."""

    def __init__(self, parts: MarketParts) -> None:
        self._parts = parts
        self._rules = parts.rules
        self._batches = QuoteBatches(self._fetch, self._quote_slot, parts.capabilities.quote_batch)
        self._history_lock = threading.Lock()
        self._history_next = 0.0
        # (price, monotonic seconds): what REST quotes said, for orders in symbols the feed does not stream
        self._quoted: dict[InstrumentKey, tuple[float, float]] = {}

    @property
    def parts(self) -> MarketParts:
        """What it is built from, for another market of the same instance."""
        return self._parts

    @property
    def ticks(self) -> TickCache:
        return self._parts.ticks

    @property
    def limiter(self) -> Limiter:
        """The broker account's windows, for its other callers."""
        return self._parts.limiter

    def login_required(self) -> None:
        """The broker refused the session to another caller; does not block."""
        self._parts.on_login_required()

    @property
    def broker_calls(self) -> int:
        """Quote calls sent to the broker since the start."""
        return self._batches.calls

    def instrument(self, key: InstrumentKey) -> Instrument:
        """Raises ``InvalidRequest`` (SYMBOL_NOT_FOUND, with the nearest three) or ``NotReady``."""
        found = self._parts.instruments.by_key(key)
        if found is not None and not found.expired:
            return found
        if self._parts.instruments.count() == 0:
            raise NotReady("the broker's instrument file has not been loaded yet")
        if found is not None:
            raise InvalidRequest(f"{key.symbol} expired on {found.expiry}", code="SYMBOL_EXPIRED")
        raise self._unknown(key)

    def _unknown(self, key: InstrumentKey) -> InvalidRequest:
        near = self._parts.instruments.nearest(key.symbol, key.exchange)
        hint = f"Did you mean {', '.join(near)}?" if near else "Search with /api/v1/search."
        return InvalidRequest(
            f"Symbol '{key.symbol}' not found for exchange '{key.exchange}'. {hint}",
            fields={"suggestions": near},
            code="SYMBOL_NOT_FOUND",
        )

    def quote(self, key: InstrumentKey) -> Quote:
        instrument = self.instrument(key)
        fresh = self._from_ticks(key)
        if fresh is not None:
            return fresh
        found = self._ask([instrument])
        if key not in found:
            raise InvalidRequest(f"The broker has no quote for {key}", code="NO_DATA")
        return found[key]

    def asked(self, key: InstrumentKey) -> Quote:
        """As ``quote``, in the broker's own words: with what a tick lacks, such as circuit limits."""
        found = self._ask([self.instrument(key)])
        if key not in found:
            raise InvalidRequest(f"The broker has no quote for {key}", code="NO_DATA")
        return found[key]

    def quotes(self, keys: Sequence[InstrumentKey]) -> tuple[Quotes, dict[InstrumentKey, str]]:
        """Quotes, and for the others why not."""
        found: Quotes = {}
        errors: dict[InstrumentKey, str] = {}
        wanted: list[Instrument] = []
        for key in dict.fromkeys(keys):
            try:
                instrument = self.instrument(key)
            except InvalidRequest as exc:
                errors[key] = str(exc)
                continue
            fresh = self._from_ticks(key)
            if fresh is not None:
                found[key] = fresh
            else:
                wanted.append(instrument)
        found |= self._ask(wanted)
        for instrument in wanted:
            if instrument.key not in found:
                errors[instrument.key] = f"The broker has no quote for {instrument.key}"
        return found, errors

    def depth(self, key: InstrumentKey) -> tuple[Quote, Depth]:
        """Quote and book; an instrument without a book (an index) has an empty one."""
        instrument = self.instrument(key)
        fresh = self._from_ticks(key)
        if fresh is not None and fresh.depth is not None:
            return fresh, fresh.depth
        found = self._ask([instrument])
        if key not in found:
            raise InvalidRequest(f"The broker has no depth for {key}", code="NO_DATA")
        return found[key], found[key].depth or Depth((), ())

    def candles(self, key: InstrumentKey, interval: str, start: date, end: date) -> list[Candle]:
        """Ascending candles, both dates inclusive. Waits for its turn, never answers 429 for pacing."""
        instrument = self.instrument(key)
        offered = self._parts.capabilities
        if interval not in offered.intervals:
            raise NotSupported(
                f"interval {interval} is not offered by this broker; /api/v1/intervals lists what it has"
            )
        if key.exchange not in offered.history_exchanges:
            raise NotSupported(f"this broker has no history for {key.exchange}")
        for attempt in range(HISTORY_TRIES):
            self._history_turn()
            grant = self._parts.limiter.acquire(Lane.DATA, self._rules.history_deadline_s)
            try:
                with grant:
                    return self._parts.rest.candles(instrument, interval, start, end)
            except RateLimited as exc:
                if attempt == HISTORY_TRIES - 1:
                    raise
                self._parts.sleep(min(exc.retry_after_s, self._rules.history_deadline_s))
            except LoginRequired:
                self._parts.on_login_required()
                raise
        raise AssertionError("unreachable")

    def raw_candles(
        self, key: InstrumentKey, interval: str, start: date, end: date
    ) -> tuple[Instrument, bytes]:
        """One broker call, its answer unread: how the market-data store is filled.

        Waits for its turn behind other history calls and for a slot of the data lane; a refusal of the
        broker is passed on at once, the puller decides what to do.

        Raises:
            NotSupported: Not offered by this broker, or more days than one call holds.
            RateLimited: The broker's, or no slot in time.
        """
        instrument = self.instrument(key)
        rest, offered = self._parts.rest, self._parts.capabilities
        if not isinstance(rest, RawHistory) or interval not in offered.history_days:
            raise NotSupported(f"history of interval {interval} is not pulled from this broker")
        if key.exchange not in offered.history_exchanges:
            raise NotSupported(f"this broker has no history for {key.exchange}")
        if (end - start).days >= offered.history_days[interval]:
            raise NotSupported(f"one call holds {offered.history_days[interval]} days of {interval}")
        self._history_turn()
        try:
            with self._parts.limiter.acquire(Lane.DATA, self._rules.history_deadline_s):
                return instrument, rest.raw_candles(instrument, interval, start, end)
        except RateLimited as exc:
            self._history_pause(exc.retry_after_s)
            raise
        except LoginRequired:
            self._parts.on_login_required()
            raise

    def last_price(self, key: InstrumentKey) -> float | None:
        """The newest known price, None when none is recent. Never blocks, never asks the broker."""
        self._parts.ticks.want([key])
        price = self._parts.ticks.last_price(key, self._rules.price_age_s)
        if price is not None:
            return price
        quoted = self._quoted.get(key)
        if quoted is not None and self._parts.clock.monotonic() - quoted[1] <= self._rules.price_age_s:
            return quoted[0]
        return None

    def price_now(self, key: InstrumentKey) -> float | None:
        """As ``last_price``; asks the broker when it is not known. None when that does not help either."""
        known = self.last_price(key)
        if known is not None:
            return known
        try:
            quote = self.quotes([key])[0].get(key)
        except AlgoError as exc:
            log.warning("no price of %s: %s", key, exc)
            return None
        return quote.ltp if quote is not None and quote.ltp > 0 else None

    def _from_ticks(self, key: InstrumentKey) -> Quote | None:
        self._parts.ticks.want([key])
        return self._parts.ticks.quote(key, self._rules.tick_age_s)

    def _ask(self, instruments: Sequence[Instrument]) -> Quotes:
        if not instruments:
            return {}
        try:
            found = self._batches.ask(instruments)
        except LoginRequired:
            self._parts.on_login_required()
            raise
        if len(instruments) <= self._rules.stream_at_most:
            self._parts.ticks.stream([instrument.key for instrument in instruments])
        at = self._parts.clock.monotonic()
        if len(self._quoted) > 5000:
            self._quoted.clear()
        self._quoted.update({key: (quote.ltp, at) for key, quote in found.items()})
        return found

    def _fetch(self, instruments: Sequence[Instrument]) -> Quotes:
        try:
            return self._parts.rest.quotes(instruments)
        except RateLimited as exc:
            self._parts.limiter.close(Lane.QUOTE, exc.retry_after_s)
            raise

    def _quote_slot(self) -> Grant:
        return self._parts.limiter.acquire(Lane.QUOTE, self._rules.quote_deadline_s)

    def _history_turn(self) -> None:
        """Each caller takes the next turn; turns are ``history_gap_s`` apart."""
        with self._history_lock:
            now = self._parts.clock.monotonic()
            turn = max(now, self._history_next)
            self._history_next = turn + self._rules.history_gap_s
        if turn > now:
            self._parts.sleep(turn - now)

    def _history_pause(self, seconds: float) -> None:
        """The broker wants no history call for a while; nobody's next turn is before that."""
        with self._history_lock:
            until = self._parts.clock.monotonic() + min(seconds, self._rules.history_deadline_s)
            self._history_next = max(self._history_next, until)
