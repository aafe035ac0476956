"""Orders both ways: what ``jData`` holds, and what a book row, a history row or an order message says.

Source: kotak-wire.md sections 2.3 to 2.6, 2.8 (price protection), 5 (order messages), 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import quote_plus

from brokers import protection
from brokers.contract import InstrumentLookup
from brokers.kotak.mapping import words
from brokers.model import (
    Action,
    Instrument,
    Order,
    OrderChange,
    OrderRequest,
    PriceType,
    SentTerms,
    Trade,
)
from brokers.rows import OrderTable, Place, Row, TradeTable

SOURCE = {"current": "NEOTRADEAPI", "apim": "NEOFINTECH001"}
TAG_LENGTH = 20

_EQUITY_BANDS = ((Decimal(100), Decimal("0.02")), (Decimal(500), Decimal("0.01")))
_OPTION_BANDS = (
    (Decimal(5), Decimal("0.10")),
    (Decimal(10), Decimal("0.05")),
    (Decimal(100), Decimal("0.03")),
    (Decimal(500), Decimal("0.02")),
)


def protection_band(price: Decimal, instrument_type: str) -> Decimal:
    """How far from ``price`` a market order may trade, in rupees (the grid Kotak applies to MKT)."""
    if instrument_type in ("CE", "PE"):
        if price < 1:
            return Decimal("0.10")
        for below, share in _OPTION_BANDS:
            if price < below or (below == 500 and price == below):
                return price * share
        return price * Decimal("0.01")
    for below, share in _EQUITY_BANDS:
        if price < below or (below == 500 and price == below):
            return price * share
    return price * Decimal("0.005")


def terms(
    price_type: PriceType, price: Decimal, trigger: Decimal, action: Action, instrument: Instrument
) -> SentTerms:
    """The price terms that go to Kotak.

    SL-M is refused from API sessions ("Market order with Algo Id not allowed"), so it leaves as SL with a
    limit one band beyond the trigger, on a tick. MARKET stays MKT; the broker bands it itself.

    Raises:
        InvalidRequest: An SL-M without a trigger.
    """
    tick = protection.tick_of(instrument)

    def limit(at: Decimal) -> Decimal:
        band = protection_band(at, instrument.instrument_type)
        ticks = max(Decimal(1), (band / tick).to_integral_value(ROUND_HALF_UP))
        found = at + ticks * tick if action is Action.BUY else max(tick, at - ticks * tick)
        # the trigger itself may sit off the tick; the limit must not
        return max(tick, (found / tick).to_integral_value(ROUND_HALF_UP) * tick)

    return protection.terms(price_type, price, trigger, limit)


def encode(fields: Mapping[str, str | None]) -> bytes:
    """The form body of a POST: one field ``jData`` holding JSON text, ``+`` for blanks."""
    return f"jData={quote_plus(json.dumps(fields))}".encode()


def place_body(
    request: OrderRequest, instrument: Instrument, sent: SentTerms, tag: str, family: str
) -> dict[str, str | None]:
    """``jData`` of a new order; every value is a string."""
    return {
        "am": "NO",
        "dq": words.text_of(request.disclosed_quantity),
        "es": instrument.broker_exchange,
        "mp": "0",
        "pc": request.product.value,
        "pf": "N",
        "pr": words.text_of(sent.price),
        "pt": words.PRICE_WORD[sent.price_type],
        "qt": words.text_of(request.quantity),
        "rt": "DAY",
        "tp": words.text_of(sent.trigger_price),
        "ts": instrument.broker_symbol,
        "tt": words.SIDE[request.action],
        "ig": tag[:TAG_LENGTH] or None,
        "os": SOURCE[family],
    }


def modify_body(
    change: OrderChange, order: Order, instrument: Instrument, sent: SentTerms, family: str
) -> dict[str, str | None]:
    """``jData`` of a change. The 2.0.0 paths also want what cannot change."""
    fields: dict[str, str | None] = {
        "no": change.order_id,
        "pr": words.text_of(sent.price),
        "pt": words.PRICE_WORD[sent.price_type],
        "qt": words.text_of(change.quantity),
        "tp": words.text_of(sent.trigger_price),
        "dq": words.text_of(change.disclosed_quantity),
        "vd": "DAY",
        "mp": "0",
        "am": "NO",
        "os": SOURCE[family],
    }
    if family == "apim":
        fields |= {
            "tk": instrument.token,
            "es": instrument.broker_exchange,
            "ts": instrument.broker_symbol,
            "tt": words.SIDE[order.action],
            "pc": order.product,
            "dd": "NA",
            "fq": words.text_of(order.filled_quantity),
        }
    return fields


def cancel_body(order_id: str) -> dict[str, str | None]:
    return {"on": order_id, "am": "NO"}


def updated_ns(row: Row) -> int:
    """``updRecvTm``, nanoseconds since the epoch; 0 when the row has none. Orders the frames of one order."""
    return words.count(row.get("updRecvTm"))


def _updated_at(row: Row) -> datetime | None:
    if ns := updated_ns(row):
        return datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1000 % 1_000_000)
    return words.time_of(words.field(row, "hsUpTm", "exchTmstp", "flDtTm"))


ORDER = OrderTable(
    words=words.WORDS,
    place=Place("exSeg", "tok", "trdSym sym"),
    order_id="nOrdNo",
    action="trnsTp",
    quantity="qty",
    price_type="prcTp",
    product="prod",
    price="prc",
    trigger_price="trgPrc",
    status="ordSt stat",
    filled="fldQty",
    average="avgPrc",
    tag="GuiOrdId",
    reason="rejRsn",
    exchange_order_id="exOrdId exchOrdId",
    placed_at="ordEntTm ordDtTm",
    updated_at="",  # ``_updated_at``
)
# ``tok``, ``qty`` and ``prc`` of a trade are empty: the instrument is found by its symbol
TRADE = TradeTable(
    words=words.WORDS,
    place=ORDER.place,
    trade_id="flId exOrdId",
    order_id="nOrdNo",
    action="trnsTp",
    product="prod",
    quantity="fldQty",
    price="avgPrc",
    traded_at="exTm hsUpTm",
)


def order(row: Row, lookup: InstrumentLookup) -> Order:
    """A row of the order book, a history row, or the ``data`` of an order message.

    Raises:
        WireError: No order number, or a side, price type or number that cannot be read.
    """
    return replace(ORDER.read(row, lookup), updated_at=_updated_at(row))


def order_of_message(row: Row, lookup: InstrumentLookup, known: Order | None) -> Order | None:
    """An order message; sparse ones (2024) are completed from what was known of the order.

    Returns:
        None for a sparse message about an order never seen: the next read of the book tells the rest.
    """
    if row.get("trnsTp") and row.get("prcTp"):
        return order(row, lookup)
    if known is None:
        return None
    raw_status = words.field(row, "ordSt", "stat") or known.raw_status
    return replace(
        known,
        quantity=words.count(row.get("qty")) or known.quantity,
        price=words.money(row.get("prc")) or known.price,
        trigger_price=words.money(row.get("trgPrc")) or known.trigger_price,
        status=words.status_of(raw_status),
        filled_quantity=words.count(row.get("fldQty")) or known.filled_quantity,
        average_price=words.money(row.get("avgPrc")) or known.average_price,
        tag=words.field(row, "GuiOrdId") or known.tag,
        raw_status=raw_status,
        rejection_reason=words.field(row, "rejRsn") or known.rejection_reason,
        exchange_order_id=words.field(row, "exOrdId") or known.exchange_order_id,
        updated_at=_updated_at(row) or known.updated_at,
        in_transit=words.in_transit(raw_status),
    )


def has_tag(found: Order, tag: str) -> bool:
    """Whether an order is ours: Kotak may append to a tag when an order is changed (``tag-<epoch>``)."""
    return bool(tag) and found.tag.startswith(tag[:TAG_LENGTH])


def trade(row: Row, lookup: InstrumentLookup) -> Trade:
    """A row of the trade book; its time may stand in two fields, day and time. Raises ``WireError``."""
    found = TRADE.read(row, lookup)
    at = words.time_of(f"{words.field(row, 'flDt')} {words.field(row, 'flTm')}")
    return replace(found, traded_at=at or found.traded_at)
