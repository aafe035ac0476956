"""Book rows as tables of field names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers import rows
from brokers.errors import WireError
from brokers.fields import Fields
from brokers.model import Action, InstrumentKey, OrderStatus, PriceType
from brokers.rows import OrderTable, Place, Words
from brokers.vocabulary import Vocabulary


def time_of(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), UTC) if text.isdigit() else None


WORDS = Words(
    Fields(frozenset({"", "-"})),
    Vocabulary({"B": Action.BUY}, {"LMT": PriceType.LIMIT}, {"I": "MIS"}),
    time_of,
    lambda word, price_type, filled: OrderStatus.REJECTED if word == "no" else OrderStatus.OPEN,
    lambda word: word == "sent",
    lambda lookup, segment, token, symbol: InstrumentKey(segment, symbol or token),
)
TABLE = OrderTable(
    words=WORDS,
    place=Place("seg", "tok", "sym trdSym"),
    order_id="id",
    action="side",
    quantity="qty",
    price_type="type",
    product="prod",
    price="prc",
    trigger_price="trg",
    status="st",
    filled="fld",
    average="avg",
    tag="tag",
    reason="why",
    exchange_order_id="ex",
    placed_at="at atToo",
    updated_at="",
    always_a_reason=False,
)
ROW: dict[str, Any] = {
    **{
        "id": 7,
        "seg": "E",
        "tok": "11",
        "sym": "-",
        "trdSym": "SBIN",
        "side": "b",
        "qty": "5",
        "type": "lmt",
    },
    **{"prod": "i", "prc": 10.5, "st": "sent", "fld": None, "why": "CONFIRMED", "at": "soon", "atToo": 86400},
}


def read(row: dict[str, Any], table: OrderTable = TABLE) -> Any:
    return table.read(row, None)  # type: ignore[arg-type]


def test_the_first_field_that_holds_something_counts() -> None:
    order = read(ROW)
    assert (order.order_id, order.key, order.quantity) == ("7", InstrumentKey("E", "SBIN"), 5)
    assert (order.product, order.price, order.filled_quantity) == ("MIS", Decimal("10.5"), 0)
    assert (order.in_transit, order.raw_status, order.updated_at) == (True, "sent", None)


def test_the_first_time_that_can_be_read_counts() -> None:
    assert read(ROW).placed_at == datetime(1970, 1, 2, tzinfo=UTC)


def test_only_a_rejected_order_has_a_reason_where_the_field_holds_more() -> None:
    assert read(ROW).rejection_reason == ""
    assert read({**ROW, "st": "no"}).rejection_reason == "CONFIRMED"
    assert read(ROW, replace(TABLE, always_a_reason=True)).rejection_reason == "CONFIRMED"


@pytest.mark.parametrize("change", [{"id": "-"}, {"side": "X"}, {"type": None}, {"qty": "five"}])
def test_a_row_that_cannot_be_read_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read({**ROW, **change})


def test_a_holding_is_worth_what_was_last_paid() -> None:
    key = InstrumentKey("NSE", "SBIN")
    held = rows.holding(key, 10, Decimal(100), Decimal(110))
    assert (held.pnl, held.pnl_percent) == (100, 10)
    unknown = rows.holding(key, 10, Decimal(100), None)
    assert (unknown.pnl, unknown.pnl_percent) == (None, None)
    assert rows.holding(key, 10, Decimal(0), Decimal(1)).pnl_percent is None
