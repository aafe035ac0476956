"""``GET /ticker/<EXCHANGE:SYMBOL>``: candles as JSON or as lines of text.

Source: openalgo-api, section 2.5. No colon in the path means NSE.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields, validates_schema

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import Candle, Exchange, InstrumentKey
from gateway.api import present
from gateway.api.fields import INTERVALS, named, one_of, text
from gateway.api.parts import Call, Parts
from gateway.api.schemas import KeyOnly

LONG = frozenset({"D", "W", "M", "Q", "Y"})
LONG_REACH = timedelta(days=3653)
SHORT_REACH = timedelta(days=30)
FIRST_DAY = date(1986, 1, 1)
"""Before any candle of an Indian exchange (the Sensex was first published in this year)."""


class _Checked(KeyOnly):
    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        first, last = data.get("from"), data.get("to")
        if isinstance(first, date) and isinstance(last, date) and first > last:
            raise ValidationError("from must not be after to.", "from")
        if isinstance(last, date) and last < FIRST_DAY:
            raise ValidationError(f"to must be {FIRST_DAY} or later: nothing was traded before.", "to")


Ticker = _Checked.from_dict(
    {
        "symbol": named(longest=96),
        "interval": one_of(INTERVALS, "D"),
        "from": fields.Date(required=True, format="%Y-%m-%d"),
        "to": fields.Date(required=True, format="%Y-%m-%d"),
        "format": one_of(["json", "txt"], "json"),
        "adjusted": text(required=False),
        "sort": text(required=False),
    },
    name="Ticker",
)
"""``from`` cannot be a name in a class body. ``adjusted`` and ``sort`` change nothing, as in OpenAlgo."""


def candles(parts: Parts, call: Call) -> dict[str, Any] | Response:
    data = call.data
    key = _key(parts, data["symbol"])
    interval, last = data["interval"], data["to"]
    first = max(data["from"], _earliest(last, LONG_REACH if interval in LONG else SHORT_REACH))
    found = parts.market.candles(key, interval, first, last)
    places = present.price_places(parts.instruments.by_key(key))
    if data["format"] == "txt":
        lines = _lines(key, found, places, daily=interval in LONG)
        return Response("".join(lines), content_type="text/plain; charset=utf-8")
    return {"status": "success", "data": [present.candle_row(candle, places) for candle in found]}


def _key(parts: Parts, path: str) -> InstrumentKey:
    """Raises ``InvalidRequest`` for an exchange there is not."""
    exchange, colon, symbol = path.partition(":")
    if not colon:
        exchange, symbol = "NSE", path
    if exchange.upper() not in Exchange.__members__:
        raise InvalidRequest(f"'{exchange}' is not an exchange; expected for example /ticker/NSE:SBIN")
    asked = InstrumentKey(exchange.upper(), symbol)
    if parts.instruments.by_key(asked) is not None:
        return asked
    found = parts.instruments.find(symbol, asked.exchange)
    return asked if found is None else found.key


def _earliest(last: date, reach: timedelta) -> date:
    return max(FIRST_DAY, last - reach)


def _lines(key: InstrumentKey, found: Sequence[Candle], places: int, *, daily: bool) -> list[str]:
    """``NSE:X,2026-11-20,O,H,L,C,V``, with ``HH:MM:SS`` (IST) after the date within a day."""

    def stamp(candle: Candle) -> str:
        if daily:
            return f"{datetime.fromtimestamp(candle.opened_at_s, UTC):%Y-%m-%d}"
        return f"{datetime.fromtimestamp(candle.opened_at_s, IST):%Y-%m-%d,%H:%M:%S}"

    return [
        f"{key},{stamp(c)},{round(c.open, places)},{round(c.high, places)},{round(c.low, places)},"
        f"{round(c.close, places)},{c.volume}\n"
        for c in found
    ]
