"""A broker's own refusal, in prose and after it took the order, is told with the code of its cause."""

from __future__ import annotations

import pytest

from tests.gateway.api.simrig import SimRig, until


def _row(broker: SimRig, order_id: str) -> dict[str, object]:
    row: dict[str, object] = broker.post("orderstatus", orderid=order_id).json["data"]
    return row


@pytest.mark.parametrize(
    ("factor", "largest", "code"), [(2.0, False, "PRICE_OUT_OF_RANGE"), (1.0, True, "INSUFFICIENT_MARGIN")]
)
def test_an_order_its_risk_checks_reject_shows_why(broker: SimRig, factor, largest, code):
    symbol = "ICICIBANK"
    ltp = broker.post("quotes", symbol=symbol, exchange="NSE").json["data"]["ltp"]
    freeze = broker.post("symbol", symbol=symbol, exchange="NSE").json["data"]["freeze_qty"]
    answer = broker.post(
        "placeorder",
        strategy="t",
        symbol=symbol,
        exchange="NSE",
        action="BUY",
        product="CNC",
        pricetype="LIMIT",
        quantity=freeze if largest else 1,
        price=str(round(ltp * factor)),
    ).json
    if answer["status"] == "error":  # refused at once: one broker's way with some of them
        assert answer["code"] == code
        return
    row = until(lambda: (r := _row(broker, answer["orderid"]))["order_status"] == "rejected" and r)
    assert row["rejection_code"] == code, row
    older = broker.get("orders", headers={"X-API-KEY": broker.key}, order_id=answer["orderid"]).json
    assert older["orders"][0]["rejection_code"] == code
