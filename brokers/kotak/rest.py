"""Kotak's REST calls: ``brokers.contract.Rest``. Two families of paths, one table; writes leave once.

Source: kotak-wire.md sections 2 (calls, shapes, codes), 7 (history).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from brokers.clock import IST
from brokers.contract import BrokerContext, Margin, MarginLeg, SessionSource
from brokers.errors import BrokerError, InvalidRequest, NotSupported, OutcomeUnknown, RateLimited, WireError
from brokers.kotak import SPEC
from brokers.kotak.calls import Calls, parse
from brokers.kotak.mapping import books, errors, history, margin, market, orders, words
from brokers.model import (
    Candle,
    Funds,
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
)
from brokers.restframe import NO_TERMS, RestFrame
from brokers.rows import Row, objects
from brokers.transport import Transport

EMPTY = "an empty book"
CANDLE_TRIES = 4


class KotakRest(RestFrame):
    """See ``brokers.contract.Rest``; thread-safe, holds no state but the transport."""

    spec = SPEC
    order_mapping = orders
    book_mapping = books
    history_mapping = history

    def __init__(
        self,
        context: BrokerContext,
        session: SessionSource,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(context, sleep)
        self._calls = Calls(context, session, transport)
        self._clock = context.clock

    # --- writes --------------------------------------------------------------------------------------------

    def _place(self, order: OrderRequest, instrument: Instrument, tag: str, sent: SentTerms) -> Placement:
        if instrument.broker_exchange not in words.ORDER_SEGMENTS:
            raise NotSupported(f"Kotak takes no orders for {instrument.key}")
        return self._write("place", orders.place_body(order, instrument, sent, tag, self._calls.family), sent)

    def _modify(
        self, change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms
    ) -> Placement:
        fields = orders.modify_body(change, order, instrument, sent, self._calls.family)
        return self._write("modify", fields, sent)

    def cancel(self, order_id: str) -> None:
        self._write("cancel", orders.cancel_body(order_id), NO_TERMS)

    def _write(self, name: str, fields: Mapping[str, str | None], sent: SentTerms) -> Placement:
        reply = self._calls.write(name, fields)
        body = parse(reply)
        accepted = (
            200 <= reply.status < 300
            and isinstance(body, dict)
            and str(body.get("stat", "")).lower() == "ok"
            and not errors.read(body)
        )
        if not accepted:
            raise errors.error_of_write(reply.status, body, reply.retry_after_s)
        # a change or a cancel names the order it is about; only a new order lives by the answer's number
        order_id = words.field(body, "nOrdNo") or str(fields.get("no") or fields.get("on") or "")
        if not order_id:
            raise OutcomeUnknown("Kotak accepted an order without naming its number")
        # "Ok" means the order system has it, not that the exchange took it
        return Placement(order_id, OrderStatus.OPEN, sent, reply.sent_ns, reply.received_ns)

    # --- books ---------------------------------------------------------------------------------------------

    def find_tag(self, tag: str) -> list[Order]:
        """Orders whose tag begins with ours: a change may have appended to it."""
        return [order for order in self.orders() if orders.has_tag(order, tag)]

    def history(self, order_id: str) -> list[Order]:
        """States of one order, newest first. Not in the contract; evidence for a person reading a journal."""
        return [orders.order(row, self._lookup) for row in self._rows("history", {"nOrdNo": order_id})]

    def positions(self) -> list[Position]:
        rows = self._rows("positions")
        costs: Mapping[tuple[str, str], Decimal] = {}
        if any(books.is_carried_cash(row) for row in rows):
            costs = books.holding_costs(self._rows("holdings"))
        return [books.position(row, self._lookup, costs) for row in rows]

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

    def _rows(self, book: str, fields: Mapping[str, str | None] | None = None) -> list[Row]:
        """``data`` of a book. Empty only when the broker says so: code 5203, or an empty list."""
        body = self._read(book, fields, empty=True)
        if body is EMPTY:
            return []
        data = body.get("data") if isinstance(body, dict) else None
        if isinstance(data, dict):
            # clients wrap the history as {"data": <server JSON>}, and some servers do so themselves
            data = data.get("data")
        return objects(data, str(body).encode())

    def _read(self, name: str, fields: Mapping[str, str | None] | None = None, *, empty: bool = False) -> Any:
        reply = self._calls.read(name, fields)
        body = parse(reply)
        if empty and errors.read(body).code == errors.NO_DATA:
            return EMPTY
        if error := errors.error_of_read(reply.status, body, reply.retry_after_s):
            raise error
        return body

    # --- market data ---------------------------------------------------------------------------------------

    def _quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """Kotak refuses somewhere between 42 and 50 a call."""
        keys = {market.wire_key(instrument): instrument for instrument in instruments}
        reply = self._calls.read("quotes", tail=f"/{quote(','.join(keys), safe='')}/all")
        body = parse(reply)
        if errors.read(body).code == errors.INVALID_INSTRUMENT:
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
            token = words.field(row, "exchange_token")
            asked = keys.get(f"{words.field(row, 'exchange')}|{token}")
            if asked is not None:
                answers[asked.key] = market.quote(row, asked)
        return answers

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        """Bars of both dates inclusive, ascending. Kotak allows about one call a second: a 429 is waited for.

        Raises:
            NotSupported: An interval or exchange without history.
        """
        word = SPEC.interval_word(instrument.key.exchange, interval)
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

    def _history(self, instrument: Instrument, word: str, start: date, end: date) -> bytes:
        reply = self._calls.read("candles", query=_candle_query(instrument, word, start, end))
        if history.says_empty(reply.status, reply.body):
            return reply.body
        if error := errors.error_of_read(reply.status, parse(reply), reply.retry_after_s):
            raise error
        return reply.body

    def _candle_call(self, query: str, word: str) -> list[Candle]:
        reply = self._calls.read("candles", query=query)
        body = parse(reply)
        error = errors.error_of_read(reply.status, body, reply.retry_after_s)
        if error is None:
            return market.candles(body, word) if isinstance(body, dict) else _not_candles()
        if type(error) is BrokerError and market.means_no_data(errors.read(body).message):
            return []
        raise error


def _not_candles() -> list[Candle]:
    raise WireError("history answer is not an object")


def _candle_query(instrument: Instrument, word: str, first: date, last: date) -> str:
    return urlencode(
        {
            "neosymbol": market.wire_key(instrument),
            "interval": word,
            "fromdate": first.isoformat(),
            "todate": last.isoformat(),
        }
    )
