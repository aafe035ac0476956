"""What the REST half of every broker does alike: price terms, books row by row, batches and pieces.

A broker says how one call goes and what one row means; waits lie between the calls of one split request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Protocol

from brokers.candles import chunks
from brokers.contract import BrokerContext, InstrumentLookup
from brokers.model import (
    Action,
    Candle,
    Holding,
    Instrument,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    Placement,
    Position,
    PriceType,
    Quote,
    SentTerms,
    Trade,
)
from brokers.rows import Row
from brokers.spec import BrokerSpec

NO_TERMS = SentTerms(PriceType.MARKET, Decimal(0), Decimal(0))
"""Of a cancel, which has none."""


class OrderMapping(Protocol):
    """A broker's module ``mapping.orders``. Pure; reading raises ``WireError``."""

    @property
    def order(self) -> Callable[[Row, InstrumentLookup], Order]:
        """One row of the order book."""
        ...

    @property
    def trade(self) -> Callable[[Row, InstrumentLookup], Trade]:
        """One row of the trade book."""
        ...

    def terms(
        self, price_type: PriceType, price: Decimal, trigger: Decimal, action: Action, instrument: Instrument
    ) -> SentTerms:
        """What really goes out; unused prices are zero. A price type the broker refuses is replaced."""
        ...


class BookMapping(Protocol):
    """A broker's module ``mapping.books``. Pure; reading raises ``WireError``."""

    @property
    def position(self) -> Callable[[Row, InstrumentLookup], Position]:
        """One net position."""
        ...

    @property
    def holding(self) -> Callable[[Row, InstrumentLookup], Holding]:
        """One holding."""
        ...


class HistoryMapping(Protocol):
    """A broker's module ``mapping.history``. Pure; the store decodes with it."""

    def candles(self, body: bytes, interval: str, start: date, end: date) -> list[Candle]:
        """Ascending, one for each time, within [start, end]. Raises ``WireError``."""
        ...

    def says_empty(self, status: int, body: bytes) -> bool:
        """Whether a refusal means that there are no candles."""
        ...


class RestFrame:
    """Most of ``contract.Rest`` and all of ``contract.RawHistory``. Thread-safe as far as the calls are.

    Attributes:
        quote_spacing_s, history_spacing_s: Waits between the calls of one split request, seconds; limits
            across requests are the caller's.
    """

    spec: BrokerSpec
    order_mapping: OrderMapping
    book_mapping: BookMapping
    history_mapping: HistoryMapping
    quote_spacing_s: float = 0.0
    history_spacing_s: float = 0.0

    def __init__(self, context: BrokerContext, sleep: Callable[[float], None] = time.sleep) -> None:
        self._lookup = context.instruments
        self._sleep = sleep

    # --- a broker's own

    def _place(self, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms) -> Placement:
        """Send a new order, once."""
        raise NotImplementedError

    def _modify(
        self, change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
    ) -> Placement:
        """Send an order's whole terms again, once."""
        raise NotImplementedError

    def _rows(self, book: str) -> Sequence[Row]:
        """Rows of ``orders``, ``trades``, ``positions`` or ``holdings``; empty only when it says so."""
        raise NotImplementedError

    def _quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """One call, at most ``quote_batch`` instruments."""
        raise NotImplementedError

    def _history(self, instrument: Instrument, word: str, start: date, end: date) -> bytes:
        """One call: a body ``history_mapping`` reads. ``word``: the broker's of the interval."""
        raise NotImplementedError

    # --- the same at every broker

    def place(self, order: OrderRequest, instrument: Instrument, tag: str, *, ltp: float | None) -> Placement:
        """See ``contract.Rest``. ``ltp`` is not used: these brokers protect a market order themselves."""
        sent = self.order_mapping.terms(
            order.price_type, order.price, order.trigger_price, order.action, instrument
        )
        return self._place(order, instrument, tag, sent)

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        """See ``contract.Rest``."""
        sent = self.order_mapping.terms(
            change.price_type, change.price, change.trigger_price, order.action, instrument
        )
        return self._modify(change, order, instrument, sent)

    def orders(self) -> list[Order]:
        """See ``contract.Rest``, as the next ones."""
        return [self.order_mapping.order(row, self._lookup) for row in self._rows("orders")]

    def find_tag(self, tag: str) -> list[Order]:
        """Orders of the book whose tag is exactly ours."""
        return [order for order in self.orders() if order.tag == tag]

    def trades(self) -> list[Trade]:
        """Today's fills."""
        return [self.order_mapping.trade(row, self._lookup) for row in self._rows("trades")]

    def positions(self) -> list[Position]:
        """Net positions."""
        return [self.book_mapping.position(row, self._lookup) for row in self._rows("positions")]

    def holdings(self) -> list[Holding]:
        """Of the demat account."""
        return [self.book_mapping.holding(row, self._lookup) for row in self._rows("holdings")]

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """See ``contract.Rest``: ``quote_batch`` a call."""
        found: dict[InstrumentKey, Quote] = {}
        size = self.spec.capabilities.quote_batch
        for start in range(0, len(instruments), size):
            if start and self.quote_spacing_s:
                self._sleep(self.quote_spacing_s)
            found |= self._quotes(instruments[start : start + size])
        return found

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        """See ``contract.Rest``: ``history_days`` a call."""
        found: list[Candle] = []
        days = self.spec.capabilities.history_days["D" if interval == "D" else "1m"]
        for number, (first, last) in enumerate(chunks(start, end, days)):
            if number and self.history_spacing_s:
                self._sleep(self.history_spacing_s)
            body = self.raw_candles(instrument, interval, first, last)
            found += self.history_mapping.candles(body, interval, first, last)
        return found

    def raw_candles(self, instrument: Instrument, interval: str, start: date, end: date) -> bytes:
        """See ``contract.RawHistory``."""
        word = self.spec.interval_word(instrument.key.exchange, interval)
        return self._history(instrument, word, start, end)
