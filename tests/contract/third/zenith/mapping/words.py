"""Zenith's words and numbers, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from brokers.contract import InstrumentLookup
from brokers.fields import Fields
from brokers.model import Action, InstrumentKey, OrderStatus, PriceType, Product
from brokers.rows import Place, Words
from brokers.vocabulary import Vocabulary

PRODUCT_WORD: Mapping[Product, str] = {
    Product.CNC: "DELIVERY",
    Product.NRML: "CARRY",
    Product.MIS: "INTRADAY",
}
PRODUCT = {word: ours for ours, word in PRODUCT_WORD.items()}
PRICE_WORD: Mapping[PriceType, str] = {
    PriceType.MARKET: "MARKET",
    PriceType.LIMIT: "LIMIT",
    PriceType.SL: "STOP",
}
PRICE_TYPE = {word: ours for ours, word in PRICE_WORD.items()}
SIDE: Mapping[Action, str] = {Action.BUY: "BUY", Action.SELL: "SELL"}
ACTION = {word: ours for ours, word in SIDE.items()}
STATUS: Mapping[str, OrderStatus] = {
    "SENT": OrderStatus.OPEN,
    "OPEN": OrderStatus.OPEN,
    "PARTIAL": OrderStatus.OPEN,
    "WAITING": OrderStatus.TRIGGER_PENDING,
    "DONE": OrderStatus.COMPLETE,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}
"""A word not in it is ``unknown``, never guessed to be final."""
IN_TRANSIT = frozenset({"SENT"})
"""Words of an order the exchange has not answered yet."""


def time_of(text: str) -> datetime | None:
    """Epoch milliseconds -> aware UTC; None for "none" and for what cannot be read."""
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC) if text else None
    except (ValueError, OverflowError, OSError):
        return None


def status_of(word: str, price_type: PriceType, filled: int) -> OrderStatus:
    """A status word, in any case."""
    return STATUS.get(word.upper(), OrderStatus.UNKNOWN)


def key_of(lookup: InstrumentLookup, segment: str, token: str, symbol: str) -> InstrumentKey:
    """Our key when the table knows the token, else the broker's own words, so that nothing is dropped."""
    found = lookup.by_token(segment, token)
    return found.key if found else InstrumentKey(segment, symbol or token)


WORDS = Words(
    Fields(nothing=frozenset({""})),
    Vocabulary(ACTION, PRICE_TYPE, PRODUCT),
    time_of,
    status_of,
    IN_TRANSIT.__contains__,
    key_of,
)
PLACE = Place("segment", "token", "code")
