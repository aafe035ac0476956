"""The whole REST half of a broker that speaks plain JSON: a table of paths and its pure mappings.

A broker with something more (forms, families of paths, two calls for one answer) builds on ``restframe``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from urllib.parse import quote as url_quote

from brokers.contract import BrokerContext, Margin, MarginLeg, SessionSource
from brokers.errors import InvalidRequest, OutcomeUnknown
from brokers.jsoncalls import Dialect, JsonCalls
from brokers.model import (
    Funds,
    Instrument,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    Placement,
    Quote,
    SentTerms,
)
from brokers.restframe import NO_TERMS, BookMapping, OrderMapping, RestFrame
from brokers.rows import Row
from brokers.transport import Transport


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths below the endpoint ``rest``. An order is changed and cancelled at ``orders``/number."""

    orders: str = "/orders"
    trades: str = "/trades"
    positions: str = "/positions"
    holdings: str = "/holdings"
    funds: str = "/funds"
    margin: str = "/margin"
    quotes: str = "/quotes"


class PlainOrderMapping(OrderMapping, Protocol):
    """``mapping.orders`` with the bodies of writes."""

    def place_body(
        self, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms
    ) -> Mapping[str, object]:
        """JSON of a new order. The tag goes out unaltered: a changed one could not be found again."""
        ...

    def modify_body(
        self, change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
    ) -> Mapping[str, object]:
        """JSON of a change. ``quantity`` is the order's total, not the rest."""
        ...

    def order_id(self, data: Any) -> str:
        """The order's number in the answer to a write, empty when it names none."""
        ...


class PlainBookMapping(BookMapping, Protocol):
    """``mapping.books`` with funds and margins, rupees. Reading raises ``WireError``."""

    def funds(self, data: Any) -> Funds:
        """The limits answer."""
        ...

    def margin_body(self, leg: MarginLeg) -> Mapping[str, object]:
        """JSON of a margin call about one order. Raises ``InvalidRequest`` without a price it needs."""
        ...

    def margin(self, data: Any) -> Margin:
        """An answer without a total is an error, which must not pass as "no margin needed"."""
        ...


class MarketMapping(Protocol):
    """``mapping.market``. Pure."""

    def quote_body(self, instruments: Sequence[Instrument]) -> Mapping[str, object]:
        """JSON of one quote call."""
        ...

    def quotes(self, data: Any, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """What the answer knows of those asked for; the others are missing. Raises ``WireError``."""
        ...

    def history_path(self, instrument: Instrument, word: str, start: date, end: date) -> str:
        """Path and query of one history call, both IST dates inclusive."""
        ...


class PlainRest(RestFrame):
    """Implements ``contract.Rest``; thread-safe. Orders are sent once."""

    dialect: Dialect
    paths: Paths = Paths()
    order_mapping: PlainOrderMapping
    book_mapping: PlainBookMapping
    market_mapping: MarketMapping

    def __init__(
        self,
        context: BrokerContext,
        session: SessionSource,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(context, sleep)
        self._calls = JsonCalls(self.dialect, context, session, transport)

    def cancel(self, order_id: str) -> None:
        """See ``contract.Rest``."""
        self._write("DELETE", self._one(order_id), None, NO_TERMS, order_id)

    def funds(self) -> Funds:
        """See ``contract.Rest``."""
        return self.book_mapping.funds(self._calls.read("GET", self.paths.funds))

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """One call for each order, summed; a broker that takes many at once overrides this."""
        if not legs:
            raise InvalidRequest("margin needs at least one order")
        bodies = [self.book_mapping.margin_body(leg) for leg in legs]
        found = [self.book_mapping.margin(self._calls.read("POST", self.paths.margin, one)) for one in bodies]
        return sum(found[1:], found[0])

    def _one(self, order_id: str) -> str:
        return f"{self.paths.orders}/{url_quote(order_id, safe='')}"

    def _place(self, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms) -> Placement:
        body = self.order_mapping.place_body(order, instrument, tag, sent)
        return self._write("POST", self.paths.orders, body, sent)

    def _modify(
        self, change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
    ) -> Placement:
        body = self.order_mapping.modify_body(change, order, instrument, sent)
        return self._write("PUT", self._one(change.order_id), body, sent, change.order_id)

    def _write(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        sent: SentTerms,
        known_id: str = "",
    ) -> Placement:
        reply, data = self._calls.write(method, path, body)
        # a change or a cancel names the order it is about; only a new order lives by the answer's number
        order_id = self.order_mapping.order_id(data) or known_id
        if not order_id:
            raise OutcomeUnknown(f"{self.spec.title} accepted an order without naming its number")
        return Placement(order_id, OrderStatus.OPEN, sent, reply.sent_ns, reply.received_ns)

    def _rows(self, book: str) -> Sequence[Row]:
        return self._calls.rows(getattr(self.paths, book))

    def _quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        body = self.market_mapping.quote_body(instruments)
        return self.market_mapping.quotes(self._calls.read("POST", self.paths.quotes, body), instruments)

    def _history(self, instrument: Instrument, word: str, start: date, end: date) -> bytes:
        reply = self._calls.fetch("GET", self.market_mapping.history_path(instrument, word, start, end))
        if not self.history_mapping.says_empty(reply.status, reply.body):
            self._calls.said(reply)
        return reply.body
