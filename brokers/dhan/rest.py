"""Dhan's REST calls. Orders are sent once; every answer that is not the one hoped for is an error.

Source: Dhan API v2, "Orders", "Portfolio", "Funds", "Market Quote", "Historical Data".
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote as url_quote

from brokers.contract import BrokerContext, Margin, MarginLeg, SessionSource
from brokers.dhan import SPEC, auth, mapping, margin, market, refusals
from brokers.dhan.mapping import history
from brokers.errors import NotFound, NotSupported, WireError
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
from brokers.transport import Reply, Transport

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
        self._session = session
        self._transport = transport
        self._instruments = context.instruments
        self._base = context.endpoints["rest"].rstrip("/")
        self._write_timeout_s = context.write_timeout_s
        self._sleep = sleep

    # writes

    def place(
        self,
        order: OrderRequest,
        instrument: Instrument,
        tag: str,
        *,
        ltp: float | None,
    ) -> Placement:
        sent = mapping.terms(order.price_type, order.price, order.trigger_price, order.action, instrument)
        body = mapping.place_body(self._session().account, order, instrument, tag, sent)
        return self._write("POST", "/orders", body, sent)

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        sent = mapping.terms(change.price_type, change.price, change.trigger_price, order.action, instrument)
        body = mapping.modify_body(self._session().account, change, sent)
        return self._write("PUT", f"/orders/{url_quote(change.order_id, safe='')}", body, sent)

    def cancel(self, order_id: str) -> None:
        nothing = SentTerms(PriceType.MARKET, Decimal(0), Decimal(0))
        self._write("DELETE", f"/orders/{url_quote(order_id, safe='')}", None, nothing)

    def _write(self, method: str, path: str, body: dict[str, Any] | None, sent: SentTerms) -> Placement:
        """One order call, once. Anything but a readable acknowledgement with an order id is an error."""
        reply = self._transport.send(
            method,
            self._base + path,
            headers=auth.headers(self._session()),
            body=None if body is None else json.dumps(body).encode(),
            read_timeout_s=self._write_timeout_s,
        )
        data = refusals.parse(reply.body)
        if isinstance(data, list) and len(data) == 1:
            data = data[0]
        order_id = mapping.text(data.get("orderId")) if isinstance(data, dict) else ""
        if not 200 <= reply.status < 300 or not order_id:
            raise refusals.error(reply.status, reply.body, write=True, retry_after_s=reply.retry_after_s)
        state = mapping.status(data.get("orderStatus"), sent.price_type, 0)
        if state is OrderStatus.UNKNOWN:
            # acknowledged with an id: the book will tell, the order exists
            state = OrderStatus.OPEN
        return Placement(order_id, state, sent, reply.sent_ns, reply.received_ns)

    # reads

    def orders(self) -> list[Order]:
        return [mapping.order(row, self._instruments) for row in self._rows("/orders")]

    def order(self, order_id: str) -> Order:
        """One order of today. Dhan answers ``200 []`` for an id it does not know.

        Raises:
            NotFound: No such order.
        """
        rows = self._rows(f"/orders/{url_quote(order_id, safe='')}")
        if not rows:
            raise NotFound(f"Dhan knows no order {order_id}")
        return mapping.order(rows[0], self._instruments)

    def find_tag(self, tag: str) -> list[Order]:
        """Orders whose ``correlationId`` is exactly ours. Empty only when Dhan says it knows none.

        Raises:
            WireError: An answer about another tag; that is no evidence.
        """
        path = f"/orders/external/{url_quote(mapping.correlation_id(tag), safe='')}"
        reply = self._get(path)
        if reply.status == 404 and refusals.read(refusals.parse(reply.body)).code == refusals.ORDER_ERROR:
            return []
        found = [mapping.order(row, self._instruments) for row in self._rows_of(reply)]
        ours = [order for order in found if order.tag == tag]
        if found and not ours:
            raise WireError("Dhan answered with orders of another correlation id", reply.body)
        return ours

    def trades(self) -> list[Trade]:
        return [mapping.trade(row, self._instruments) for row in self._rows("/trades")]

    def positions(self) -> list[Position]:
        return [mapping.position(row, self._instruments) for row in self._rows("/positions")]

    def holdings(self) -> list[Holding]:
        """No holdings come as HTTP 500 with DH-1111: an empty list, not a failure."""
        reply = self._get("/holdings")
        if refusals.read(refusals.parse(reply.body)).code == refusals.NO_HOLDINGS:
            return []
        return [mapping.holding(row, self._instruments) for row in self._rows_of(reply)]

    def funds(self) -> Funds:
        """Two calls: balances, and the positions for the day's profit."""
        data = self._json(self._get("/fundlimit"))
        if not isinstance(data, dict):
            raise WireError("fund limit is not an object")
        return mapping.funds(data, self.positions())

    def registered_ips(self) -> tuple[str, ...]:
        """The primary and the secondary one. Source: dhan-wire 1.4 (``GET /v2/ip/getIP``)."""
        data = self._json(self._get("/ip/getIP"))
        if not isinstance(data, dict):
            return ()  # a list with a message: none is set
        found = (str(data.get(name) or "").strip() for name in ("primaryIP", "secondaryIP"))
        return tuple(str(ipaddress.ip_address(one)) for one in found if one)

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """One call for all of them, so that hedges count."""
        data = self._json(self._ask("/margincalculator/multi", margin.body(self._session().account, legs)))
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
            data = self._json(self._ask("/marketfeed/quote", body))
            inner = data.get("data") if isinstance(data, dict) else None
            if not isinstance(inner, dict):
                raise WireError("quote answer without data")
            found |= market.quotes(inner, part)
        return found

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        word = _interval_word(interval)
        name = market.instrument_word(instrument, self._instruments)
        daily = word == "D"
        found: list[Candle] = []
        pieces = [(start, end)] if daily and start <= end else market.chunks(start, end)
        for number, (first, last) in enumerate(pieces):
            if number:
                self._sleep(HISTORY_SPACING_S)
            path, body = market.history_body(instrument, name, word, first, last)
            reply = self._ask(path, body)
            if reply.status == 400 and refusals.read(refusals.parse(reply.body)).code == refusals.NO_DATA:
                continue  # a holiday or an instrument without history
            data = self._json(reply)
            if not isinstance(data, dict):
                raise WireError("candle answer is not an object", reply.body[:500])
            found += market.candles(data, daily, first, last)
        return found

    def raw_candles(self, instrument: Instrument, interval: str, start: date, end: date) -> bytes:
        """See ``contract.RawHistory``."""
        word = _interval_word(interval)
        name = market.instrument_word(instrument, self._instruments)
        path, body = market.history_body(instrument, name, word, start, end)
        reply = self._ask(path, body)
        if not history.says_empty(reply.status, reply.body):
            self._json(reply)
        return reply.body

    def _get(self, path: str) -> Reply:
        return self._transport.fetch("GET", self._base + path, headers=auth.headers(self._session()))

    def _ask(self, path: str, body: dict[str, Any]) -> Reply:
        """A read that Dhan wants as POST."""
        return self._transport.fetch(
            "POST", self._base + path, headers=auth.headers(self._session()), body=json.dumps(body).encode()
        )

    def _rows(self, path: str) -> list[dict[str, Any]]:
        return self._rows_of(self._get(path))

    def _rows_of(self, reply: Reply) -> list[dict[str, Any]]:
        """A list of objects; one object counts as a list of one (the pages show both)."""
        data = self._json(reply)
        rows = [data] if isinstance(data, dict) else data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise WireError("expected a list of rows", reply.body[:500])
        return rows

    def _json(self, reply: Reply) -> Any:
        """Parsed body of a success.

        Raises:
            WireError: A success whose body is not JSON.
            AlgoError: Not a success; see ``refusals``.
        """
        if not 200 <= reply.status < 300:
            raise refusals.error(reply.status, reply.body, write=False, retry_after_s=reply.retry_after_s)
        try:
            data = json.loads(reply.body)
        except ValueError as exc:
            raise WireError("Dhan's answer is not JSON", reply.body[:500]) from exc
        refusal = refusals.read(data)
        if refusal.code and "orderId" not in data:
            # a refusal that came with a success status
            raise refusals.error(400, reply.body, write=False)
        return data


def _interval_word(interval: str) -> str:
    """Dhan's word for one of our intervals. Raises ``NotSupported``."""
    word = SPEC.capabilities.intervals.get(interval)
    if word is None:
        known = ", ".join(SPEC.capabilities.intervals)
        raise NotSupported(f"Dhan has no {interval} candles; it has {known}")
    return word
