"""Dhan's REST calls. Orders are sent once; every answer that is not the one hoped for is an error.

Source: Dhan API v2, "Orders", "Portfolio", "Funds", "Market Quote", "Historical Data".
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote as url_quote

from brokers.candles import chunks
from brokers.contract import BrokerContext, Margin, MarginLeg, SessionSource
from brokers.dhan import SPEC
from brokers.dhan.calls import Calls, json_of, rows_of
from brokers.dhan.mapping import books, errors, history, margin, market, orders, words
from brokers.errors import NotFound, WireError
from brokers.model import (
    Candle,
    Funds,
    Holding,
    Instrument,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    OrderStatus,
    Placement,
    Position,
    PriceType,
    Quote,
    SentTerms,
    Trade,
)
from brokers.transport import Transport

QUOTE_SPACING_S = 1.1
HISTORY_SPACING_S = 0.25


class DhanRest:
    """Implements ``contract.Rest``.

    Args:
        sleep: Waits between the calls of one split request (Dhan: one quote call and five history calls a
            second); the limits across requests are the caller's.
    """

    def __init__(
        self,
        context: BrokerContext,
        session: SessionSource,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._calls = Calls(context, session, transport)
        self._lookup = context.instruments
        self._sleep = sleep

    # writes

    def place(self, order: OrderRequest, instrument: Instrument, tag: str, *, ltp: float | None) -> Placement:
        """Send one order, once. ``ltp`` is not used: Dhan protects a market order itself."""
        sent = orders.terms(order.price_type, order.price, order.trigger_price, order.action, instrument)
        body = orders.place_body(self._calls.account, order, instrument, tag, sent)
        return self._write("POST", "/orders", body, sent)

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        sent = orders.terms(change.price_type, change.price, change.trigger_price, order.action, instrument)
        body = orders.modify_body(self._calls.account, change, sent)
        return self._write("PUT", f"/orders/{url_quote(change.order_id, safe='')}", body, sent)

    def cancel(self, order_id: str) -> None:
        nothing = SentTerms(PriceType.MARKET, Decimal(0), Decimal(0))
        self._write("DELETE", f"/orders/{url_quote(order_id, safe='')}", None, nothing)

    def _write(self, method: str, path: str, body: dict[str, Any] | None, sent: SentTerms) -> Placement:
        reply, data = self._calls.write(method, path, body)
        state = words.status_of(data.get("orderStatus"), sent.price_type, 0)
        if state is OrderStatus.UNKNOWN:
            # acknowledged with an id: the book will tell, the order exists
            state = OrderStatus.OPEN
        return Placement(words.field(data, "orderId"), state, sent, reply.sent_ns, reply.received_ns)

    # reads

    def orders(self) -> list[Order]:
        return [orders.order(row, self._lookup) for row in self._rows("/orders")]

    def order(self, order_id: str) -> Order:
        """One order of today. Dhan answers ``200 []`` for an id it does not know.

        Raises:
            NotFound: No such order.
        """
        rows = self._rows(f"/orders/{url_quote(order_id, safe='')}")
        if not rows:
            raise NotFound(f"Dhan knows no order {order_id}")
        return orders.order(rows[0], self._lookup)

    def find_tag(self, tag: str) -> list[Order]:
        """Orders whose ``correlationId`` is exactly ours. Empty only when Dhan says it knows none.

        Raises:
            WireError: An answer about another tag; that is no evidence.
        """
        path = f"/orders/external/{url_quote(orders.correlation_id(tag), safe='')}"
        reply = self._calls.get(path)
        if reply.status == 404 and errors.read(errors.parse(reply.body)).code == errors.ORDER_ERROR:
            return []
        found = [orders.order(row, self._lookup) for row in rows_of(reply)]
        ours = [order for order in found if order.tag == tag]
        if found and not ours:
            raise WireError("Dhan answered with orders of another correlation id", reply.body)
        return ours

    def trades(self) -> list[Trade]:
        return [orders.trade(row, self._lookup) for row in self._rows("/trades")]

    def positions(self) -> list[Position]:
        return [books.position(row, self._lookup) for row in self._rows("/positions")]

    def holdings(self) -> list[Holding]:
        """No holdings come as HTTP 500 with DH-1111: an empty list, not a failure."""
        reply = self._calls.get("/holdings")
        if errors.read(errors.parse(reply.body)).code == errors.NO_HOLDINGS:
            return []
        return [books.holding(row, self._lookup) for row in rows_of(reply)]

    def funds(self) -> Funds:
        """Two calls: balances, and the positions for the day's profit."""
        data = json_of(self._calls.get("/fundlimit"))
        if not isinstance(data, dict):
            raise WireError("fund limit is not an object")
        return books.funds(data, self.positions())

    def registered_ips(self) -> tuple[str, ...]:
        """The primary and the secondary one. Source: dhan-wire 1.4 (``GET /v2/ip/getIP``)."""
        data = json_of(self._calls.get("/ip/getIP"))
        if not isinstance(data, dict):
            return ()  # a list with a message: none is set
        found = (str(data.get(name) or "").strip() for name in ("primaryIP", "secondaryIP"))
        return tuple(str(ipaddress.ip_address(one)) for one in found if one)

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """One call for all of them, so that hedges count."""
        data = json_of(self._calls.ask("/margincalculator/multi", margin.body(self._calls.account, legs)))
        if not isinstance(data, dict):
            raise WireError("margin answer is not an object")
        return margin.margin(data)

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        found: dict[InstrumentKey, Quote] = {}
        size = SPEC.capabilities.quote_batch
        for start in range(0, len(instruments), size):
            if start:
                self._sleep(QUOTE_SPACING_S)
            part = instruments[start : start + size]
            body = market.quote_body(part)
            data = json_of(self._calls.ask("/marketfeed/quote", body))
            inner = data.get("data") if isinstance(data, dict) else None
            if not isinstance(inner, dict):
                raise WireError("quote answer without data")
            found |= market.quotes(inner, part)
        return found

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        word = SPEC.interval_word(instrument.key.exchange, interval)
        name = market.instrument_word(instrument, self._lookup)
        daily = word == "D"
        found: list[Candle] = []
        days = SPEC.capabilities.history_days["D" if daily else "1m"]
        pieces = chunks(start, end, days)
        for number, (first, last) in enumerate(pieces):
            if number:
                self._sleep(HISTORY_SPACING_S)
            path, body = market.history_body(instrument, name, word, first, last)
            reply = self._calls.ask(path, body)
            if reply.status == 400 and errors.read(errors.parse(reply.body)).code == errors.NO_DATA:
                continue  # a holiday or an instrument without history
            data = json_of(reply)
            if not isinstance(data, dict):
                raise WireError("candle answer is not an object", reply.body[:500])
            found += market.candles(data, daily, first, last)
        return found

    def raw_candles(self, instrument: Instrument, interval: str, start: date, end: date) -> bytes:
        """See ``contract.RawHistory``."""
        word = SPEC.interval_word(instrument.key.exchange, interval)
        name = market.instrument_word(instrument, self._lookup)
        path, body = market.history_body(instrument, name, word, start, end)
        reply = self._calls.ask(path, body)
        if not history.says_empty(reply.status, reply.body):
            json_of(reply)
        return reply.body

    def _rows(self, path: str) -> list[dict[str, Any]]:
        return rows_of(self._calls.get(path))
