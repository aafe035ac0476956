"""The order feed: what its texts say."""

from __future__ import annotations

import pytest

from brokers.dhan.wire import orders
from brokers.errors import WireError


def test_an_order_alert_is_its_data_and_other_messages_are_nothing() -> None:
    assert orders.read('{"Data":{"orderNo":"1"},"Type":"order_alert"}') == {"orderNo": "1"}
    assert orders.read('{"Type":"heartbeat"}') is None
    for bad in ("{", '{"Type":"order_alert"}'):
        with pytest.raises(WireError) as caught:
            orders.read(bad)
        assert caught.value.frame == bad.encode()
