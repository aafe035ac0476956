"""Dhan's words and numbers, and ours.

Dhan says "none" as ``null``, ``""``, ``"NA"``, ``"0"`` and ``"0001-01-01 …"``; its times are IST without a
zone.

Source: Dhan API v2, annexure (enumerations).
"""

from __future__ import annotations

from datetime import UTC, datetime

from brokers.clock import IST
from brokers.contract import InstrumentLookup
from brokers.fields import Fields
from brokers.model import Action, InstrumentKey, OrderStatus, PriceType, Product
from brokers.rows import Place, Words
from brokers.vocabulary import Vocabulary

PRODUCT_WORD = {Product.CNC: "CNC", Product.NRML: "MARGIN", Product.MIS: "INTRADAY"}
# MTF, CO and BO have no name in OpenAlgo: shown as they are
PRODUCT = {
    "CNC": "CNC",
    "MARGIN": "NRML",
    "INTRADAY": "MIS",
    "C": "CNC",
    "M": "NRML",
    "I": "MIS",
    "F": "MTF",
    "V": "CO",
    "B": "BO",
}
PRICE_WORD = {PriceType.MARKET: "MARKET", PriceType.LIMIT: "LIMIT", PriceType.SL: "STOP_LOSS"}
PRICE_TYPE = {
    "MARKET": PriceType.MARKET,
    "MKT": PriceType.MARKET,
    "LIMIT": PriceType.LIMIT,
    "LMT": PriceType.LIMIT,
    "STOP_LOSS": PriceType.SL,
    "SL": PriceType.SL,
    "STOP_LOSS_MARKET": PriceType.SL_M,
    "SLM": PriceType.SL_M,
}
ACTION = {"BUY": Action.BUY, "B": Action.BUY, "SELL": Action.SELL, "S": Action.SELL}
_VOCABULARY = Vocabulary(ACTION, PRICE_TYPE, PRODUCT)
action_of, price_type_of, product_of = (
    _VOCABULARY.action_of,
    _VOCABULARY.price_type_of,
    _VOCABULARY.product_of,
)
STATUS = {
    "TRANSIT": OrderStatus.OPEN,
    "PENDING": OrderStatus.OPEN,
    "PART_TRADED": OrderStatus.OPEN,
    # spelling of a part fill on the update socket is not published
    "PARTIALLY_TRADED": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "PARTIAL": OrderStatus.OPEN,
    "PARTTRADED": OrderStatus.OPEN,
    "MODIFIED": OrderStatus.OPEN,
    "INACTIVE": OrderStatus.OPEN,
    "CONFIRM": OrderStatus.OPEN,
    "TRIGGERED": OrderStatus.OPEN,
    "TRADED": OrderStatus.COMPLETE,
    "CLOSED": OrderStatus.COMPLETE,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}
_FIELDS = Fields(nothing=frozenset({"", "NA", "0", "0001-01-01", "0001-01-01 00:00:00"}))
text, field, money, count = _FIELDS.text, _FIELDS.field, _FIELDS.money, _FIELDS.count


def time_of(value: object) -> datetime | None:
    """``YYYY-MM-DD HH:MM:SS`` or ``DD/MM/YYYY HH:MM[:SS]`` in IST -> aware UTC; None for "none".

    An unreadable or empty time is None: it must not hide the order that carries it.
    """
    found = text(value).replace("T", " ").split(".")[0]
    for form in ("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%Y-%m-%d"):
        try:
            at = datetime.strptime(found, form).replace(tzinfo=IST)
        except ValueError:
            continue
        # 1980 is Dhan's word for "never traded", year 1 for "not yet"
        return at.astimezone(UTC) if at.year >= 2000 else None
    return None


def status_of(word: object, order_type: PriceType, filled: int) -> OrderStatus:
    """Dhan's status word in any case. ``unknown`` for a word nobody has seen: never guessed.

    An untriggered stop has no status of its own: a PENDING stop without a fill is shown as trigger pending.
    """
    name = text(word).upper().replace(" ", "_").replace("-", "_")
    found = STATUS.get(name, OrderStatus.UNKNOWN)
    if name == "PENDING" and order_type in (PriceType.SL, PriceType.SL_M) and not filled:
        return OrderStatus.TRIGGER_PENDING
    return found


def in_transit(word: object) -> bool:
    """Whether the order is not yet at the exchange; Dhan answers DH-906 to its modify or cancel then."""
    return text(word).upper() == "TRANSIT"


def key_of(lookup: InstrumentLookup, segment: str, security_id: str, symbol: str) -> InstrumentKey:
    """Our key when the table knows the id, else Dhan's segment and symbol (or id when it has none)."""
    instrument = lookup.by_token(segment, security_id)
    return instrument.key if instrument else InstrumentKey(segment, symbol or security_id)


WORDS = Words(_FIELDS, _VOCABULARY, time_of, status_of, in_transit, key_of)
ROW_PLACE = Place("exchangeSegment", "securityId", "tradingSymbol")
