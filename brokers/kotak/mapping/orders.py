"""Orders both ways: what ``jData`` holds, and what a book row, a history row or an order message says.

Source: kotak-wire.md sections 2.3 to 2.6, 2.8 (price protection), 5 (order messages), 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote_plus

from brokers.contract import InstrumentLookup
from brokers.errors import InvalidRequest, WireError
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
    if price_type is PriceType.MARKET:
        return SentTerms(price_type, Decimal(0), Decimal(0))
    if price_type is PriceType.LIMIT:
        return SentTerms(price_type, price, Decimal(0))
    if price_type is PriceType.SL:
        return SentTerms(price_type, price, trigger)
    if trigger <= 0:
        raise InvalidRequest(
            "SL-M needs a trigger price", fields={"trigger_price": ["Must be greater than 0."]}
        )
    tick = instrument.tick_size if instrument.tick_size > 0 else Decimal("0.05")
    band = protection_band(trigger, instrument.instrument_type)
    ticks = max(Decimal(1), (band / tick).to_integral_value(ROUND_HALF_UP))
    limit = trigger + ticks * tick if action is Action.BUY else max(tick, trigger - ticks * tick)
    # the trigger itself may sit off the tick; the limit must not
    limit = max(tick, (limit / tick).to_integral_value(ROUND_HALF_UP) * tick)
    return SentTerms(PriceType.SL, limit, trigger)


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


def updated_ns(row: Mapping[str, Any]) -> int:
    """``updRecvTm``, nanoseconds since the epoch; 0 when the row has none. Orders the frames of one order."""
    return words.count(row.get("updRecvTm"))


def _updated_at(row: Mapping[str, Any]) -> datetime | None:
    if ns := updated_ns(row):
        return datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(microsecond=ns // 1000 % 1_000_000)
    return words.time_of(words.field(row, "hsUpTm", "exchTmstp", "flDtTm"))


def order(row: Mapping[str, Any], lookup: InstrumentLookup) -> Order:
    """A row of the order book, a history row, or the ``data`` of an order message.

    Raises:
        WireError: No order number, or a side, price type or number that cannot be read.
    """
    order_id = words.field(row, "nOrdNo")
    if not order_id:
        raise WireError("order row without nOrdNo")
    raw_status = words.field(row, "ordSt", "stat")
    segment = words.field(row, "exSeg")
    return Order(
        order_id=order_id,
        key=words.key_of(lookup, segment, words.field(row, "tok"), words.field(row, "trdSym", "sym")),
        action=words.action_of(words.field(row, "trnsTp")),
        quantity=words.count(row.get("qty")),
        price_type=words.price_type_of(words.field(row, "prcTp")),
        product=words.product_of(words.field(row, "prod")),
        price=words.money(row.get("prc")),
        trigger_price=words.money(row.get("trgPrc")),
        status=words.status_of(raw_status),
        filled_quantity=words.count(row.get("fldQty")),
        average_price=words.money(row.get("avgPrc")),
        tag=words.field(row, "GuiOrdId"),
        raw_status=raw_status,
        rejection_reason=words.field(row, "rejRsn"),
        exchange_order_id=words.field(row, "exOrdId", "exchOrdId"),
        placed_at=words.time_of(words.field(row, "ordEntTm", "ordDtTm")),
        updated_at=_updated_at(row),
        in_transit=words.in_transit(raw_status),
    )


def order_of_message(row: Mapping[str, Any], lookup: InstrumentLookup, known: Order | None) -> Order | None:
    """An order message; sparse ones (2024) are completed from what was known of the order.

    Returns:
        None for a sparse message about an order never seen: the next read of the book tells the rest.
    """
    if row.get("trnsTp") and row.get("prcTp"):
        return order(row, lookup)
    if known is None:
        return None
    raw_status = words.field(row, "ordSt", "stat") or known.raw_status
    return Order(
        order_id=known.order_id,
        key=known.key,
        action=known.action,
        quantity=words.count(row.get("qty")) or known.quantity,
        price_type=known.price_type,
        product=known.product,
        price=words.money(row.get("prc")) or known.price,
        trigger_price=words.money(row.get("trgPrc")) or known.trigger_price,
        status=words.status_of(raw_status),
        filled_quantity=words.count(row.get("fldQty")) or known.filled_quantity,
        average_price=words.money(row.get("avgPrc")) or known.average_price,
        tag=words.field(row, "GuiOrdId") or known.tag,
        raw_status=raw_status,
        rejection_reason=words.field(row, "rejRsn") or known.rejection_reason,
        exchange_order_id=words.field(row, "exOrdId") or known.exchange_order_id,
        placed_at=known.placed_at,
        updated_at=_updated_at(row) or known.updated_at,
        in_transit=words.in_transit(raw_status),
    )


def has_tag(found: Order, tag: str) -> bool:
    """Whether an order is ours: Kotak may append to a tag when an order is changed (``tag-<epoch>``)."""
    return bool(tag) and found.tag.startswith(tag[:TAG_LENGTH])


def trade(row: Mapping[str, Any], lookup: InstrumentLookup) -> Trade:
    """A row of the trade book.

    Its ``tok``, ``qty`` and ``prc`` are empty: the fill is in ``fldQty`` and ``avgPrc``, and the instrument
    is found by ``trdSym``.

    Raises:
        WireError: A side or number that cannot be read.
    """
    segment, symbol = words.field(row, "exSeg"), words.field(row, "trdSym", "sym")
    day, at = words.field(row, "flDt"), words.field(row, "flTm")
    return Trade(
        trade_id=words.field(row, "flId", "exOrdId"),
        order_id=words.field(row, "nOrdNo"),
        key=words.key_of(lookup, segment, words.field(row, "tok"), symbol),
        action=words.action_of(words.field(row, "trnsTp")),
        product=words.product_of(words.field(row, "prod")),
        quantity=words.count(row.get("fldQty")),
        price=words.money(row.get("avgPrc")),
        traded_at=words.time_of(f"{day} {at}") or words.time_of(words.field(row, "exTm", "hsUpTm")),
    )
