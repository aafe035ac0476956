"""Rows of a broker's books as tables: which field says what. Pure.

A table names fields; several names in one text, apart by blanks, are tried in order and the first that holds
something counts. How a broker writes "none", numbers, times and words is in its ``Words``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.contract import InstrumentLookup
from brokers.errors import WireError
from brokers.fields import Fields
from brokers.model import Holding, InstrumentKey, Order, OrderStatus, Position, PriceType, Trade
from brokers.vocabulary import Vocabulary

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """How one broker writes what stands in a row.

    Attributes:
        time_of: A time's text -> aware UTC; None for "none" and for what cannot be read.
        status_of: A status word, the order's price type and filled quantity -> ours; ``unknown``, never a
            guess, for a word nobody has seen.
        in_transit: Whether a status word means that the exchange has not answered yet.
        key_of: Lookup, segment, token and symbol as the broker writes them -> our key, or the broker's own
            words when the table does not know it.
    """

    fields: Fields
    vocabulary: Vocabulary
    time_of: Callable[[str], datetime | None]
    status_of: Callable[[str, PriceType, int], OrderStatus]
    in_transit: Callable[[str], bool]
    key_of: Callable[[InstrumentLookup, str, str, str], InstrumentKey]

    def text(self, row: Row, names: str) -> str:
        """Text of the first field that holds something, ``""`` when none does."""
        return self.fields.field(row, *names.split())

    def money(self, row: Row, names: str) -> Decimal:
        """Rupees; zero for none. Raises ``WireError`` for what is no number."""
        return self.fields.money(self.text(row, names))

    def count(self, row: Row, names: str) -> int:
        """Units; zero for none. Raises as ``money``."""
        return int(self.money(row, names))

    def time(self, row: Row, names: str) -> datetime | None:
        """The first that can be read, aware UTC."""
        return next((at for name in names.split() if (at := self.time_of(self.text(row, name)))), None)

    def key(self, row: Row, place: Place, lookup: InstrumentLookup) -> InstrumentKey:
        """Our name of the row's instrument, or the broker's own words."""
        names = (place.segment, place.token, place.symbol)
        return self.key_of(lookup, *(self.text(row, name) for name in names))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row names its instrument."""

    segment: str
    token: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTable:
    """Fields of an order row.

    Attributes:
        reason: The broker's words about a rejection.
        always_a_reason: False where the reason's field holds other words on orders that were not rejected.
    """

    words: Words
    place: Place
    order_id: str
    action: str
    quantity: str
    price_type: str
    product: str
    price: str
    trigger_price: str
    status: str
    filled: str
    average: str
    tag: str
    reason: str
    exchange_order_id: str
    placed_at: str
    updated_at: str
    always_a_reason: bool = True

    def read(self, row: Row, lookup: InstrumentLookup) -> Order:
        """One order. Raises ``WireError`` when id, side, type or a number cannot be read."""
        words = self.words
        order_id = words.text(row, self.order_id)
        if not order_id:
            raise WireError(f"row without an order number ({self.order_id.split()[0]})")
        price_type = words.vocabulary.price_type_of(words.text(row, self.price_type))
        filled, word = words.count(row, self.filled), words.text(row, self.status)
        status = words.status_of(word, price_type, filled)
        has_reason = self.always_a_reason or status is OrderStatus.REJECTED
        return Order(
            order_id=order_id,
            key=words.key(row, self.place, lookup),
            action=words.vocabulary.action_of(words.text(row, self.action)),
            quantity=words.count(row, self.quantity),
            price_type=price_type,
            product=words.vocabulary.product_of(words.text(row, self.product)),
            price=words.money(row, self.price),
            trigger_price=words.money(row, self.trigger_price),
            status=status,
            filled_quantity=filled,
            average_price=words.money(row, self.average),
            tag=words.text(row, self.tag),
            raw_status=word,
            rejection_reason=words.text(row, self.reason) if has_reason else "",
            exchange_order_id=words.text(row, self.exchange_order_id),
            placed_at=words.time(row, self.placed_at),
            updated_at=words.time(row, self.updated_at),
            in_transit=words.in_transit(word),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeTable:
    """Fields of a trade row."""

    words: Words
    place: Place
    trade_id: str
    order_id: str
    action: str
    product: str
    quantity: str
    price: str
    traded_at: str

    def read(self, row: Row, lookup: InstrumentLookup) -> Trade:
        """One fill. Raises ``WireError`` when the side or a number cannot be read."""
        words = self.words
        return Trade(
            trade_id=words.text(row, self.trade_id),
            order_id=words.text(row, self.order_id),
            key=words.key(row, self.place, lookup),
            action=words.vocabulary.action_of(words.text(row, self.action)),
            product=words.vocabulary.product_of(words.text(row, self.product)),
            quantity=words.count(row, self.quantity),
            price=words.money(row, self.price),
            traded_at=words.time(row, self.traded_at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionTable:
    """Fields of a net position whose profit the broker counts; ``ltp`` is empty where it sends none."""

    words: Words
    place: Place
    product: str
    quantity: str
    average: str
    realized: str
    unrealized: str
    buy_quantity: str
    sell_quantity: str
    ltp: str = ""

    def read(self, row: Row, lookup: InstrumentLookup) -> Position:
        """One position, rupees; the quantity is signed. Raises ``WireError`` for what is no number."""
        words = self.words
        realized, unrealized = words.money(row, self.realized), words.money(row, self.unrealized)
        return Position(
            key=words.key(row, self.place, lookup),
            product=words.vocabulary.product_of(words.text(row, self.product)),
            quantity=words.count(row, self.quantity),
            average_price=words.money(row, self.average),
            ltp=words.money(row, self.ltp) or None,
            pnl=realized + unrealized,
            realized_pnl=realized,
            unrealized_pnl=unrealized,
            buy_quantity=words.count(row, self.buy_quantity),
            sell_quantity=words.count(row, self.sell_quantity),
        )


def holding(key: InstrumentKey, quantity: int, average: Decimal, ltp: Decimal | None) -> Holding:
    """A holding valued at the last price, rupees; without one its profit is not known."""
    pnl = percent = None
    if ltp is not None:
        pnl = (ltp - average) * quantity
        percent = (ltp - average) / average * 100 if average else None
    return Holding(key, quantity, average, ltp, pnl, percent)


def objects(data: Any, body: bytes) -> list[Row]:
    """Parsed JSON that must be a list of objects. Raises ``WireError`` with what came."""
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise WireError("expected a list of rows", body[:500])
    return data
