"""Kotak's margin check: one order -> ``jData``, its answer -> ours. Pure.

Source: kotak-wire.md section 2.6, "margin req" and "margin reply".
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from brokers.contract import Margin, MarginLeg
from brokers.errors import WireError
from brokers.kotak.mapping import orders, words
from brokers.model import PriceType


def fields(leg: MarginLeg) -> dict[str, str | None]:
    """``jData`` of ``check-margin``. A market order goes without a price: Kotak values it itself."""
    order, instrument = leg.order, leg.instrument
    sent = orders.terms(order.price_type, order.price, order.trigger_price, order.action, instrument)
    price = sent.price
    if price <= 0 and sent.price_type is not PriceType.MARKET:
        price = leg.price or Decimal(0)
    return {
        "brkName": "KOTAK",
        "brnchId": "ONLINE",
        "exSeg": instrument.broker_exchange,
        "prc": words.text_of(price),
        "prcTp": words.PRICE_WORD[sent.price_type],
        "prod": order.product.value,
        "qty": words.text_of(order.quantity),
        "tok": instrument.token,
        "trnsTp": words.SIDE[order.action],
        "trgPrc": words.text_of(sent.trigger_price),
        **dict.fromkeys(("slAbsOrTks", "slVal", "sqrOffAbsOrTks", "sqrOffVal", "trailSL", "tSLTks")),
    }


def margin(row: Mapping[str, Any]) -> Margin:
    """``ordMrgn`` is the order's margin (``reqdMrgn`` is only what the account lacks). Kotak gives no parts.

    Raises:
        WireError: No ``ordMrgn``, which must not pass as "no margin needed".
    """
    if not words.field(row, "ordMrgn"):
        raise WireError("margin answer without ordMrgn")
    return Margin(words.money(row["ordMrgn"]))
