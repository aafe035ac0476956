"""Kotak's REST calls: ``brokers.contract.Rest``. Two families of paths, one table; writes leave once.

Source: kotak-wire.md sections 2 (calls, shapes, codes), 7 (history).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from brokers.clock import IST
from brokers.contract import BrokerContext, BrokerSession, Margin, MarginLeg, SessionSource
from brokers.errors import BrokerError, InvalidRequest, NotSupported, OutcomeUnknown, RateLimited, WireError
from brokers.kotak import SPEC
from brokers.kotak.auth import FIN_KEY, authorization, family_of
from brokers.kotak.mapping import books, errors, history, margin, market, orders, words
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
    Quote,
    SentTerms,
    Trade,
)
from brokers.transport import Reply, Transport


@dataclass(frozen=True, slots=True)
class Call:
    """One endpoint: its path in each family, and which headers it wants.

    Attributes:
        session: Wants the trade token and sid.
        app: Wants the app's access token on the current paths (the 2.0.0 ones want it everywhere).
    """

    method: str
    current: str
    apim: str
    session: bool = True
    app: bool = False

    def path(self, family: str) -> str:
        return self.apim if family == "apim" else self.current


_ORDERS = "apim/orders/2.0/"
_HISTORY = "market-data/1.0/historical/details"
CALLS: Mapping[str, Call] = {
    "place": Call("POST", "quick/order/rule/ms/place", f"{_ORDERS}quick/order/rule/ms/place", app=True),
    "modify": Call("POST", "quick/order/vr/modify", f"{_ORDERS}quick/order/vr/modify", app=True),
    "cancel": Call("POST", "quick/order/cancel", f"{_ORDERS}quick/order/cancel", app=True),
    "orders": Call("GET", "quick/user/orders", f"{_ORDERS}quick/user/orders"),
    # singular "order" in this one path of the 2.0.0 family
    "history": Call("POST", "quick/order/history", "apim/order/2.0/quick/order/history"),
    "trades": Call("GET", "quick/user/trades", f"{_ORDERS}quick/user/trades"),
    "positions": Call("GET", "portfolio/v2/positions", f"{_ORDERS}quick/user/positions"),
    "holdings": Call("GET", "portfolio/v1/holdings", "apim/portfolio/2.0/portfolio/v1/holdings"),
    "limits": Call("POST", "quick/user/limits", f"{_ORDERS}quick/user/limits"),
    "margin": Call("POST", "quick/user/check-margin", f"{_ORDERS}quick/user/check-margin"),
    "quotes": Call(
        "GET",
        "script-details/1.0/quotes/neosymbol",
        "apim/quotes/2.0/quotes/neosymbol",
        session=False,
        app=True,
    ),
    "files": Call(
        "GET",
        "script-details/1.0/masterscrip/file-paths",
        "apim/files/2.0/masterscrip/v1/file-paths",
        session=False,
        app=True,
    ),
    # younger than the 2.0.0 client, so that family has no path of its own
    "candles": Call("GET", _HISTORY, _HISTORY, session=False, app=True),
}

EMPTY = "an empty book"
CANDLE_TRIES = 4


def headers_of(call: Call, session: BrokerSession, family: str) -> dict[str, str]:
    """Headers of one call; the only place where a session's secrets are revealed for REST."""
    headers = {"accept": "application/json"}
    if call.app or family == "apim":
        headers["Authorization"] = authorization(session.secrets["access_token"].reveal(), family)
    if call.session:
        headers["Sid"] = session.secrets["sid"].reveal()
        headers["Auth"] = session.secrets["token"].reveal()
        headers["neo-fin-key"] = FIN_KEY
    if call.method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return headers


def url_of(call: Call, session: BrokerSession, family: str, tail: str = "", query: str = "") -> str:
    """Address of one call at the session's own data centre."""
    if family == "apim" and call.session and (server_id := session.attributes.get("server_id", "")):
        query = "&".join(filter(None, (query, urlencode({"sId": server_id}))))
    url = f"{session.attributes['base_url']}/{call.path(family)}{tail}"
    return f"{url}?{query}" if query else url


def parse(reply: Reply) -> Any:
    """JSON body with exact decimals, None when it is not JSON (gateways answer HTML)."""
    try:
        return json.loads(reply.body, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


class KotakRest:
    """See ``brokers.contract.Rest``; thread-safe, holds no state but the transport."""

    def __init__(
        self,
        context: BrokerContext,
        session: SessionSource,
        transport: Transport,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lookup = context.instruments
        self._clock = context.clock
        self._session = session
        self._transport = transport
        self._family = family_of(context.options)
        self._write_timeout_s = context.write_timeout_s
        self._sleep = sleep

    # --- writes --------------------------------------------------------------------------------------------

    def place(self, order: OrderRequest, instrument: Instrument, tag: str, *, ltp: float | None) -> Placement:
        """Send one order, once. ``ltp`` is not used: Kotak bands a market order itself."""
        if instrument.broker_exchange not in words.ORDER_SEGMENTS:
            raise NotSupported(f"Kotak takes no orders for {instrument.key}")
        terms = orders.protect(order.price_type, order.price, order.trigger_price, order.action, instrument)
        fields = orders.place_fields(order, instrument, terms, tag, self._family)
        return self._write("place", fields, terms)

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        """Send the whole terms of an order again, once."""
        terms = orders.protect(
            change.price_type, change.price, change.trigger_price, order.action, instrument
        )
        fields = orders.modify_fields(change, order, instrument, terms, self._family)
        return self._write("modify", fields, terms)

    def cancel(self, order_id: str) -> None:
        terms = SentTerms(words.PRICE_TYPE["L"], Decimal(0), Decimal(0))
        self._write("cancel", orders.cancel_fields(order_id), terms)

    def _write(self, name: str, fields: Mapping[str, str | None], terms: SentTerms) -> Placement:
        session, call = self._session(), CALLS[name]
        reply = self._transport.send(
            call.method,
            url_of(call, session, self._family),
            headers=headers_of(call, session, self._family),
            body=orders.encode(fields),
            read_timeout_s=self._write_timeout_s,
        )
        body = parse(reply)
        accepted = (
            200 <= reply.status < 300
            and isinstance(body, dict)
            and str(body.get("stat", "")).lower() == "ok"
            and not errors.complaint_of(body)
        )
        if not accepted:
            raise errors.error_of_write(reply.status, body, reply.retry_after_s)
        # a change or a cancel names the order it is about; only a new order lives by the answer's number
        order_id = words.text_field(body, "nOrdNo") or str(fields.get("no") or fields.get("on") or "")
        if not order_id:
            raise OutcomeUnknown("Kotak accepted an order without naming its number")
        # "Ok" means the order system has it, not that the exchange took it
        return Placement(order_id, OrderStatus.OPEN, terms, reply.sent_ns, reply.received_ns)

    # --- books ---------------------------------------------------------------------------------------------

    def orders(self) -> list[Order]:
        return [orders.order(row, self._lookup) for row in self._rows("orders")]

    def find_tag(self, tag: str) -> list[Order]:
        """Orders whose tag begins with ours: a change may have appended to it."""
        return [order for order in self.orders() if orders.has_tag(order, tag)]

    def history(self, order_id: str) -> list[Order]:
        """States of one order, newest first. Not in the contract; evidence for a person reading a journal."""
        return [orders.order(row, self._lookup) for row in self._rows("history", {"nOrdNo": order_id})]

    def trades(self) -> list[Trade]:
        return [orders.trade(row, self._lookup) for row in self._rows("trades")]

    def positions(self) -> list[Position]:
        rows = self._rows("positions")
        costs: Mapping[tuple[str, str], Decimal] = {}
        if any(books.is_carried_cash(row) for row in rows):
            costs = books.holding_costs(self._rows("holdings"))
        return [books.position(row, self._lookup, costs) for row in rows]

    def holdings(self) -> list[Holding]:
        return [books.holding(row, self._lookup) for row in self._rows("holdings")]

    def funds(self) -> Funds:
        body = self._read("limits", {"seg": "ALL", "exch": "ALL", "prod": "ALL"})
        if not isinstance(body, dict) or "Net" not in body:
            raise WireError("limits answer without Net")
        return books.funds(body)

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """One call for each order, summed: Kotak checks one at a time and knows no hedge between them."""
        found = [self._margin(leg) for leg in legs]
        if not found:
            raise InvalidRequest("margin needs at least one order")
        return sum(found[1:], found[0])

    def _margin(self, leg: MarginLeg) -> Margin:
        body = self._read("margin", margin.fields(leg))
        if not isinstance(body, dict):
            raise WireError("margin answer is not an object")
        return margin.margin(body)

    def _rows(self, name: str, fields: Mapping[str, str | None] | None = None) -> list[Mapping[str, Any]]:
        """``data`` of a book. Empty only when the broker says so: code 5203, or an empty list."""
        body = self._read(name, fields, empty=True)
        if body is EMPTY:
            return []
        data = body.get("data") if isinstance(body, dict) else None
        if isinstance(data, dict):
            # clients wrap the history as {"data": <server JSON>}, and some servers do so themselves
            data = data.get("data")
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise WireError(f"{name} answer without a list of rows")
        return data

    def _read(self, name: str, fields: Mapping[str, str | None] | None = None, *, empty: bool = False) -> Any:
        session, call = self._session(), CALLS[name]
        reply = self._transport.fetch(
            call.method,
            url_of(call, session, self._family),
            headers=headers_of(call, session, self._family),
            body=None if fields is None else orders.encode(fields),
        )
        body = parse(reply)
        if empty and errors.complaint_of(body).code == errors.NO_DATA:
            return EMPTY
        if error := errors.error_of_read(reply.status, body, reply.retry_after_s):
            raise error
        return body

    # --- market data ---------------------------------------------------------------------------------------

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """Quotes of any number of instruments, 40 a call (Kotak refuses somewhere between 42 and 50)."""
        found: dict[InstrumentKey, Quote] = {}
        size = SPEC.capabilities.quote_batch
        for start in range(0, len(instruments), size):
            found |= self._quotes(instruments[start : start + size])
        return found

    def _quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        session, call = self._session(), CALLS["quotes"]
        keys = {market.wire_key(instrument): instrument for instrument in instruments}
        tail = f"/{quote(','.join(keys), safe='')}/all"
        reply = self._transport.fetch(
            call.method,
            url_of(call, session, self._family, tail),
            headers=headers_of(call, session, self._family),
        )
        body = parse(reply)
        if errors.complaint_of(body).code == errors.INVALID_INSTRUMENT:
            # one unknown instrument refuses the whole call: look for it by halves
            if len(instruments) == 1:
                return {}
            half = len(instruments) // 2
            return self._quotes(instruments[:half]) | self._quotes(instruments[half:])
        if error := errors.error_of_read(reply.status, body, reply.retry_after_s):
            raise error
        if not isinstance(body, list):
            raise WireError("quotes answer is not a list")
        answers: dict[InstrumentKey, Quote] = {}
        for row in body:
            if not isinstance(row, dict):
                raise WireError("quotes answer holds something else than rows")
            token = words.text_field(row, "exchange_token")
            asked = keys.get(f"{words.text_field(row, 'exchange')}|{token}")
            if asked is not None:
                answers[asked.key] = market.quote(row, asked)
        return answers

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        """Bars of both dates inclusive, ascending. Kotak allows about one call a second: a 429 is waited for.

        Raises:
            NotSupported: An interval or exchange without history.
        """
        word = _interval_word(instrument, interval)
        found: dict[int, Candle] = {}
        today = self._clock.now().astimezone(IST).date()
        for first, last in market.chunks(start, end, word, today):
            for candle in self._candles(instrument, word, first, last):
                found[candle.opened_at_s] = candle
        return [found[at] for at in sorted(found)]

    def _candles(self, instrument: Instrument, word: str, first: date, last: date) -> list[Candle]:
        query = _candle_query(instrument, word, first, last)
        for attempt in range(CANDLE_TRIES):
            try:
                return self._candle_call(query, word)
            except RateLimited as exc:
                if attempt == CANDLE_TRIES - 1:
                    raise
                self._sleep(max(1.0, exc.retry_after_s) * (attempt + 1))
        raise AssertionError("unreachable")

    def raw_candles(self, instrument: Instrument, interval: str, start: date, end: date) -> bytes:
        """See ``contract.RawHistory``."""
        reply = self._candle_reply(
            _candle_query(instrument, _interval_word(instrument, interval), start, end)
        )
        if history.says_empty(reply.status, reply.body):
            return reply.body
        if error := errors.error_of_read(reply.status, parse(reply), reply.retry_after_s):
            raise error
        return reply.body

    def _candle_reply(self, query: str) -> Reply:
        session, call = self._session(), CALLS["candles"]
        return self._transport.fetch(
            call.method,
            url_of(call, session, self._family, query=query),
            headers=headers_of(call, session, self._family),
        )

    def _candle_call(self, query: str, word: str) -> list[Candle]:
        reply = self._candle_reply(query)
        body = parse(reply)
        error = errors.error_of_read(reply.status, body, reply.retry_after_s)
        if error is None:
            return market.candles(body, word) if isinstance(body, dict) else _not_candles()
        if type(error) is BrokerError and market.means_no_data(errors.complaint_of(body).message):
            return []
        raise error


def _not_candles() -> list[Candle]:
    raise WireError("history answer is not an object")


def _interval_word(instrument: Instrument, interval: str) -> str:
    """Kotak's word for one of our intervals. Raises ``NotSupported``."""
    word = SPEC.capabilities.intervals.get(interval)
    if word is None or instrument.key.exchange not in SPEC.capabilities.history_exchanges:
        raise NotSupported(f"Kotak has no {interval} history of {instrument.key.exchange}")
    return word


def _candle_query(instrument: Instrument, word: str, first: date, last: date) -> str:
    return urlencode(
        {
            "neosymbol": market.wire_key(instrument),
            "interval": word,
            "fromdate": first.isoformat(),
            "todate": last.isoformat(),
        }
    )
