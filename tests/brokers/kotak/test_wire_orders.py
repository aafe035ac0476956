"""Order-feed texts against the golden vectors."""

from __future__ import annotations

import pytest

from brokers.errors import WireError
from brokers.kotak.wire import orders
from tests.brokers.kotak.vectors import ORDER_FEED


def test_both_connect_forms_are_byte_exact() -> None:
    assert orders.connect_stripped("TOKEN.1", "SID-1") == ORDER_FEED["connect_stripped"]
    assert orders.connect_json("TOKEN.1", "SID-1") == ORDER_FEED["connect_json"]
    assert ORDER_FEED["heartbeat"] == orders.HEARTBEAT


@pytest.mark.parametrize(
    ("name", "accepted"), [("ack_ok", True), ("ack_auth_failed", False), ("ack_bad_format", False)]
)
def test_greetings_are_read(name: str, accepted: bool) -> None:
    greeting = orders.read(ORDER_FEED[name])
    assert isinstance(greeting, orders.Greeting)
    assert greeting.accepted is accepted
    assert greeting.message


@pytest.mark.parametrize(("name", "status"), [("order", "open"), ("order_filled", "complete")])
def test_orders_keep_their_fields_and_nanoseconds(name: str, status: str) -> None:
    news = orders.read(ORDER_FEED[name])
    assert isinstance(news, orders.OrderNews)
    assert news.data["ordSt"] == status
    assert news.data["updRecvTm"] in (1795149930123456789, 1795149931000000005)


def test_a_position_is_other_news() -> None:
    news = orders.read(ORDER_FEED["position"])
    assert isinstance(news, orders.OtherNews)
    assert news.type == "position"
    assert news.data["flBuyQty"] == "10"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{type:hb}",
        b"[]",
        b'{"type":"order"}',
        b'{"type":"order","data":{}}',
        b'{"type":"\xff"}',
        b"[" * 100_000,
    ],
    ids=range(7),
)
def test_what_cannot_be_read_is_an_error_that_keeps_it(text: bytes) -> None:
    with pytest.raises(WireError) as caught:
        orders.read(text)
    assert caught.value.frame == text
