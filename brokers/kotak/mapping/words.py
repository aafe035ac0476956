"""Kotak's words and numbers, and ours.

Source: kotak-wire.md section 3 (enumerations), 2.5 (times and number forms of report rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from brokers import symbols
from brokers.clock import IST
from brokers.contract import InstrumentLookup
from brokers.fields import Fields
from brokers.model import (
    Action,
    Exchange,
    InstrumentKey,
    OrderStatus,
    PriceType,
    Product,
)
from brokers.rows import Words
from brokers.vocabulary import Vocabulary

_FIELDS = Fields(nothing=frozenset({"", "--", "NA", "-"}), commas=True)
text, field, money, count = _FIELDS.text, _FIELDS.field, _FIELDS.money, _FIELDS.count

EXCHANGE_OF: Mapping[str, str] = {
    "nse_cm": Exchange.NSE,
    "bse_cm": Exchange.BSE,
    "nse_fo": Exchange.NFO,
    "bse_fo": Exchange.BFO,
    "cde_fo": Exchange.CDS,
    "bcs_fo": Exchange.BCD,
    "bcs-fo": Exchange.BCD,
    "mcx_fo": Exchange.MCX,
    "mcx": Exchange.MCX,
}
ORDER_SEGMENTS = frozenset({"nse_cm", "bse_cm", "nse_fo", "bse_fo", "mcx_fo", "cde_fo"})

SIDE: Mapping[Action, str] = {Action.BUY: "B", Action.SELL: "S"}
ACTION: Mapping[str, Action] = {"B": Action.BUY, "S": Action.SELL, "BUY": Action.BUY, "SELL": Action.SELL}

PRICE_WORD: Mapping[PriceType, str] = {
    PriceType.MARKET: "MKT",
    PriceType.LIMIT: "L",
    PriceType.SL: "SL",
    PriceType.SL_M: "SL-M",
}
PRICE_TYPE: Mapping[str, PriceType] = {
    "MKT": PriceType.MARKET,
    "L": PriceType.LIMIT,
    "LMT": PriceType.LIMIT,
    "SL": PriceType.SL,
    "SL-M": PriceType.SL_M,
}

PRODUCT: Mapping[str, Product] = {
    "CNC": Product.CNC,
    "NRML": Product.NRML,
    "MIS": Product.MIS,
    "INTRADAY": Product.MIS,
}

_VOCABULARY = Vocabulary(ACTION, PRICE_TYPE, PRODUCT)
action_of, price_type_of, product_of = (
    _VOCABULARY.action_of,
    _VOCABULARY.price_type_of,
    _VOCABULARY.product_of,
)
STATUS: Mapping[str, OrderStatus] = {
    "put order req received": OrderStatus.OPEN,
    "validation pending": OrderStatus.OPEN,
    "open pending": OrderStatus.OPEN,
    "open": OrderStatus.OPEN,
    "trigger pending": OrderStatus.TRIGGER_PENDING,
    "modify validation pending": OrderStatus.OPEN,
    "modify pending": OrderStatus.OPEN,
    "modified": OrderStatus.OPEN,
    "cancel pending": OrderStatus.OPEN,
    "after market order req received": OrderStatus.OPEN,
    "modify after market order req received": OrderStatus.OPEN,
    "complete": OrderStatus.COMPLETE,
    "traded": OrderStatus.COMPLETE,
    "rejected": OrderStatus.REJECTED,
    "cancelled": OrderStatus.CANCELLED,
    "canceled": OrderStatus.CANCELLED,
    "cancelled after market order": OrderStatus.CANCELLED,
}
"""The list is open-ended. A word not in it is ``unknown``, never guessed to be final, and kept as sent."""


def status_of(word: str) -> OrderStatus:
    return STATUS.get(word.strip().lower(), OrderStatus.UNKNOWN)


IN_TRANSIT = frozenset(
    {
        "put order req received",
        "validation pending",
        "open pending",
        "modify validation pending",
        "modify pending",
    }
)
"""The exchange has not answered to the order, or to its change: Kotak refuses a modify or cancel meanwhile.
``cancel pending`` is not among them: what is being cancelled needs no second request."""


def in_transit(word: str) -> bool:
    return word.strip().lower() in IN_TRANSIT


def text_of(number: Decimal | int) -> str:
    """A number as Kotak wants it: plain digits, and a zero is ``"0"`` because ``"0.0"`` is refused."""
    return symbols.plain(Decimal(number))


def time_of(text: str) -> datetime | None:
    """``22-Jan-2025 14:28:01`` or ``2025/01/22 14:28:01``, both IST wall time; blanks after colons occur."""
    squeezed = text.replace(": ", ":")
    for layout in ("%d-%b-%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S"):
        try:
            return datetime.strptime(squeezed, layout).replace(tzinfo=IST).astimezone(UTC)
        except ValueError:
            continue
    return None


def key_of(lookup: InstrumentLookup, segment: str, token: str, symbol: str) -> InstrumentKey:
    """Our name of an instrument in a report row.

    By token, else by trading symbol (trades carry no token), else the broker's own words, so that nothing is
    dropped.
    """
    found = lookup.by_token(segment, token) if token else None
    if found is None and symbol:
        found = lookup.by_broker_symbol(segment, symbol)
    if found is not None:
        return found.key
    return InstrumentKey(EXCHANGE_OF.get(segment, segment), symbol or token)


WORDS = Words(_FIELDS, _VOCABULARY, time_of, lambda word, *_: status_of(word), in_transit, key_of)
