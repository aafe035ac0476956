"""Dhan's REST calls. Orders are sent once; every answer that is not the one hoped for is an error.

Source: Dhan API v2, "Orders", "Portfolio", "Funds", "Market Quote", "Historical Data".
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote as url_quote

from brokers.contract import BrokerContext, Margin, MarginLeg, SessionSource
from brokers.dhan import SPEC
from brokers.dhan.calls import Calls, json_of, rows_of
from brokers.dhan.mapping import books, errors, history, margin, market, orders, words
from brokers.errors import NotFound, WireError
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
from brokers.restframe import NO_TERMS, RestFrame
from brokers.rows import Row
from brokers.transport import Transport


class DhanRest(RestFrame):
    """Implements ``contract.Rest``.

    Args:
        sleep: Waits between the calls of one split request (Dhan: one quote call and five history calls a
            second); the limits across requests are the caller's.
    """

    spec = SPEC
    order_mapping = orders
    book_mapping = books
    history_mapping = history
    quote_spacing_s = 1.1
    history_spacing_s = 0.25

    def __init__(
        self,
        context: BrokerContext,
        session: SessionSource,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(context, sleep)
        self._calls = Calls(context, session, transport)

    # writes

    def _place(self, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms) -> Placement:
        body = orders.place_body(self._calls.account, order, instrument, tag, sent)
        return self._write("POST", "/orders", body, sent)

    def _modify(
        self, change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
    ) -> Placement:
        body = orders.modify_body(self._calls.account, change, sent)
        return self._write("PUT", f"/orders/{url_quote(change.order_id, safe='')}", body, sent)

    def cancel(self, order_id: str) -> None:
        self._write("DELETE", f"/orders/{url_quote(order_id, safe='')}", None, NO_TERMS)

    def _write(self, method: str, path: str, body: dict[str, Any] | None, sent: SentTerms) -> Placement:
        reply, data = self._calls.write(method, path, body)
        state = words.status_of(data.get("orderStatus"), sent.price_type, 0)
        if state is OrderStatus.UNKNOWN:
            # acknowledged with an id: the book will tell, the order exists
            state = OrderStatus.OPEN
        return Placement(words.field(data, "orderId"), state, sent, reply.sent_ns, reply.received_ns)

    # reads

    def order(self, order_id: str) -> Order:
        """One order of today. Dhan answers ``200 []`` for an id it does not know.

        Raises:
            NotFound: No such order.
        """
        rows = self._rows(f"orders/{url_quote(order_id, safe='')}")
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

    def _quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        data = json_of(self._calls.ask("/marketfeed/quote", market.quote_body(instruments)))
        inner = data.get("data") if isinstance(data, dict) else None
        if not isinstance(inner, dict):
            raise WireError("quote answer without data")
        return market.quotes(inner, instruments)

    def _history(self, instrument: Instrument, word: str, start: date, end: date) -> bytes:
        name = market.instrument_word(instrument, self._lookup)
        path, body = market.history_body(instrument, name, word, start, end)
        reply = self._calls.ask(path, body)
        # a holiday or an instrument without history
        if not history.says_empty(reply.status, reply.body):
            json_of(reply)
        return reply.body

    def _rows(self, book: str) -> Sequence[Row]:
        """No holdings come as HTTP 500 with DH-1111: an empty list, not a failure."""
        reply = self._calls.get(f"/{book}")
        if errors.read(errors.parse(reply.body)).code == errors.NO_HOLDINGS:
            return []
        return rows_of(reply)
