"""Orders, books, positions and funds through a real server."""

from __future__ import annotations

from typing import Any

from brokers.sim.dhan import policy
from brokers.sim.exchange.types import Listing, Side
from tests.brokers.sim.dhan.live import ACCOUNT, Broker, live


def order(listing: Listing, **changes: Any) -> dict[str, Any]:
    """A small limit order; the price is the caller's business."""
    return {
        "transactionType": "BUY",
        "exchangeSegment": "NSE_FNO" if listing.expiry else "NSE_EQ",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": str(listing.token),
        "quantity": listing.lot_size,
        "price": 0,
    } | changes


async def resting(broker: Broker, **changes: Any) -> str:
    """Place a limit order far below the market and let the exchange take it."""
    sbin = broker.listing("NSE", "SBIN")
    body = order(sbin, price=broker.rupees(sbin, -5), **changes)
    status, placed = await broker.call("POST", "/v2/orders", body)
    assert (status, placed["orderStatus"]) == (200, "TRANSIT")
    await broker.settle()
    return str(placed["orderId"])


async def row(broker: Broker, order_id: str) -> dict[str, Any]:
    status, rows = await broker.call("GET", f"/v2/orders/{order_id}")
    assert status == 200
    assert len(rows) == 1
    return dict(rows[0])


def refused(answer: tuple[int, Any], status: int, code: str, text: str = "") -> None:
    got, body = answer
    assert (got, body["errorCode"]) == (status, code)
    assert set(body) == {"errorType", "errorCode", "errorMessage"}
    assert text in body["errorMessage"]


@live
async def test_a_limit_order_is_in_transit_and_then_pending(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    await broker.settle(3)
    price = broker.rupees(sbin, -5)
    status, placed = await broker.call(
        "POST", "/v2/orders", order(sbin, price=price, correlationId="mine-1"), pause=False
    )
    assert (status, placed["orderStatus"]) == (200, "TRANSIT")
    assert placed["orderId"].isdigit()
    _, (first,) = await broker.call("GET", f"/v2/orders/{placed['orderId']}", pause=False)
    assert (first["orderStatus"], first["exchangeOrderId"]) == ("TRANSIT", "0")
    assert first["exchangeTime"] == "0001-01-01 00:00:00"
    second = await row(broker, placed["orderId"])
    assert second["orderStatus"] == "PENDING"
    assert second["omsErrorDescription"] == "CONFIRMED"
    assert second["exchangeOrderId"] != "0"
    assert second["createTime"].startswith("2026-09-16 12:00:0")
    assert (second["correlationId"], second["price"], second["quantity"]) == ("mine-1", price, 1)
    assert (second["filledQty"], second["remainingQuantity"], second["averageTradedPrice"]) == (0, 1, 0.0)
    assert (second["tradingSymbol"], second["productType"], second["legName"]) == ("SBIN", "INTRADAY", "NA")
    assert second["dhanClientId"] == ACCOUNT


@live
async def test_an_order_in_transit_can_neither_be_cancelled_nor_modified(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    await broker.settle(3)
    body = order(sbin, price=broker.rupees(sbin, -5))
    _, placed = await broker.call("POST", "/v2/orders", body, pause=False)
    path = f"/v2/orders/{placed['orderId']}"
    refused(await broker.call("DELETE", path, pause=False), 400, "DH-906")
    refused(await broker.call("PUT", path, body, pause=False), 400, "DH-906")


@live
async def test_modify_replaces_price_and_quantity(broker: Broker) -> None:
    order_id = await resting(broker)
    sbin = broker.listing("NSE", "SBIN")
    price = broker.rupees(sbin, -4)
    body = {"orderId": order_id, "orderType": "LIMIT", "legName": "ENTRY_LEG", "quantity": 3, "price": price}
    answer = await broker.call("PUT", f"/v2/orders/{order_id}", body | {"validity": "DAY"})
    assert answer == (200, {"orderId": order_id, "orderStatus": "TRANSIT"})
    await broker.settle()
    after = await row(broker, order_id)
    assert (after["quantity"], after["price"], after["orderStatus"]) == (3, price, "PENDING")


@live
async def test_the_26th_modification_is_refused(broker: Broker) -> None:
    order_id = await resting(broker)
    sbin = broker.listing("NSE", "SBIN")
    price = broker.rupees(sbin, -5)
    body = {"orderId": order_id, "orderType": "LIMIT", "price": price, "validity": "DAY"}
    for number in range(25):
        status, _ = await broker.call("PUT", f"/v2/orders/{order_id}", body | {"quantity": number + 2})
        assert status == 200
    refused(
        await broker.call("PUT", f"/v2/orders/{order_id}", body | {"quantity": 1}), 400, "DH-906", "Maximum"
    )


@live
async def test_cancel_answers_202_and_a_second_cancel_dh_906(broker: Broker) -> None:
    order_id = await resting(broker)
    answer = await broker.call("DELETE", f"/v2/orders/{order_id}")
    assert answer == (202, {"orderId": order_id, "orderStatus": "CANCELLED"})
    assert (await row(broker, order_id))["orderStatus"] == "CANCELLED"
    refused(await broker.call("DELETE", f"/v2/orders/{order_id}"), 400, "DH-906")


@live
async def test_a_correlation_id_may_repeat_and_finds_the_newest(broker: Broker) -> None:
    first = await resting(broker, correlationId="again")
    second = await resting(broker, correlationId="again")
    assert first != second
    status, found = await broker.call("GET", "/v2/orders/external/again")
    assert (status, found["orderId"]) == (200, second)


@live
async def test_what_is_not_there(broker: Broker) -> None:
    assert await broker.call("GET", "/v2/orders/123") == (200, [])
    assert await broker.call("GET", "/v2/orders") == (200, [])
    assert await broker.call("GET", "/v2/trades/") == (200, [])
    assert await broker.call("GET", "/v2/positions") == (200, [])
    refused(await broker.call("GET", "/v2/orders/external/nobody"), 404, "DH-906")
    refused(await broker.call("DELETE", "/v2/orders/123"), 400, "DH-906")


@live
async def test_a_market_order_fills_as_a_limit_and_shows_everywhere(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    _, before = await broker.call("GET", "/v2/fundlimit")
    _, placed = await broker.call("POST", "/v2/orders", order(sbin, orderType="MARKET", quantity=10))
    await broker.settle()
    done = await row(broker, placed["orderId"])
    assert (done["orderStatus"], done["orderType"]) == ("TRADED", "LIMIT")
    assert done["price"] >= done["averageTradedPrice"] > 0
    assert (done["filledQty"], done["remainingQuantity"]) == (10, 0)
    _, trades = await broker.call("GET", "/v2/trades")
    assert sum(trade["tradedQuantity"] for trade in trades) == 10
    assert {trade["orderId"] for trade in trades} == {placed["orderId"]}
    assert (await broker.call("GET", "/v2/trades/"))[1] == trades
    assert (await broker.call("GET", f"/v2/trades/{placed['orderId']}"))[1] == trades
    _, (position,) = await broker.call("GET", "/v2/positions")
    assert (position["positionType"], position["netQty"], position["buyQty"]) == ("LONG", 10, 10)
    assert position["costPrice"] == round(done["averageTradedPrice"], 2)
    assert (position["productType"], position["securityId"]) == ("INTRADAY", str(sbin.token))
    _, after = await broker.call("GET", "/v2/fundlimit")
    assert after["utilizedAmount"] > before["utilizedAmount"]
    assert after["availabelBalance"] < before["availabelBalance"]


@live
async def test_a_market_order_beyond_its_protection_rests(broker: Broker) -> None:
    """A thin option whose best ask lies beyond the protective price."""
    await broker.settle(3)
    thin = next(
        listing
        for listing in broker.server.exchange.universe.listings
        if listing.exchange == "NFO"
        and listing.strike_paise
        and (market := broker.market(listing)).asks
        and market.asks[0].price_paise > policy.protected_price(Side.BUY, market) * 100
    )
    body = order(thin, orderType="MARKET")
    _, placed = await broker.call("POST", "/v2/orders", body, pause=False)
    await broker.settle(0.01)
    _, (now,) = await broker.call("GET", f"/v2/orders/{placed['orderId']}", pause=False)
    assert (now["orderStatus"], now["orderType"], now["filledQty"]) == ("PENDING", "LIMIT", 0)
    assert now["price"] < broker.market(thin).asks[0].price_paise / 100


@live
async def test_a_wrong_lot_is_bad_input_and_a_price_off_the_band_a_rejected_order(broker: Broker) -> None:
    future = broker.future()
    bad = order(future, price=broker.rupees(future, 0), quantity=future.lot_size + 1)
    refused(await broker.call("POST", "/v2/orders", bad), 400, "DH-905", "lot")
    far = order(future, price=broker.rupees(future, -40))
    status, placed = await broker.call("POST", "/v2/orders", far)
    assert (status, placed["orderStatus"]) == (200, "TRANSIT")
    await broker.settle()
    after = await row(broker, placed["orderId"])
    assert after["orderStatus"] == "REJECTED"
    assert "circuit" in after["omsErrorDescription"]
    assert after["omsErrorCode"] != "0"


@live
async def test_slicing_splits_at_the_freeze_quantity(broker: Broker) -> None:
    future = broker.future()
    quantity = future.freeze_qty // future.lot_size * future.lot_size + future.lot_size
    body = order(future, price=broker.rupees(future, -5), quantity=quantity, correlationId="sliced")
    refused(await broker.call("POST", "/v2/orders", body), 400, "DH-906", "freeze")
    status, placed = await broker.call("POST", "/v2/orders/slicing", body)
    assert status == 200
    assert [slice_["orderStatus"] for slice_ in placed] == ["TRANSIT", "TRANSIT"]
    _, rows = await broker.call("GET", "/v2/orders")
    assert sum(found["quantity"] for found in rows) == quantity
    assert {found["correlationId"] for found in rows} == {"sliced"}


@live
async def test_a_stop_waits_as_pending(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    trigger, price = broker.rupees(sbin, 3), broker.rupees(sbin, 4)
    body = order(sbin, orderType="STOP_LOSS", price=price, triggerPrice=trigger)
    _, placed = await broker.call("POST", "/v2/orders", body)
    waiting = await row(broker, placed["orderId"])
    assert (waiting["orderStatus"], waiting["orderType"]) == ("PENDING", "STOP_LOSS")
    assert (waiting["price"], waiting["triggerPrice"]) == (price, trigger)
    wrong = body | {"triggerPrice": broker.rupees(sbin, -3)}
    refused(await broker.call("POST", "/v2/orders", wrong), 400, "DH-906")


@live
async def test_exit_all_flattens_and_cancels(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    await resting(broker)
    await broker.call("POST", "/v2/orders", order(sbin, orderType="MARKET", quantity=7))
    status, answer = await broker.call("DELETE", "/v2/positions")
    assert (status, answer["status"]) == (200, "SUCCESS")
    await broker.settle(5)
    _, (position,) = await broker.call("GET", "/v2/positions")
    assert (position["positionType"], position["netQty"]) == ("CLOSED", 0)
    _, rows = await broker.call("GET", "/v2/orders")
    assert sorted(found["orderStatus"] for found in rows) == ["CANCELLED", "TRADED", "TRADED"]


@live
async def test_margin_of_one_order_and_of_a_basket(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    script = {
        "exchangeSegment": "NSE_EQ",
        "transactionType": "BUY",
        "quantity": 10,
        "productType": "CNC",
        "securityId": str(sbin.token),
        "price": 900.0,
        "triggerPrice": 0.0,
    }
    status, one = await broker.call("POST", "/v2/margincalculator", script)
    assert (status, one["totalMargin"], one["leverage"]) == (200, 9000.0, "1.00")
    for key in ("scripList", "scripts"):
        body = {"includePosition": False, key: [script, script]}
        status, many = await broker.call("POST", "/v2/margincalculator/multi", body)
        assert (status, many["total_margin"]) == (200, "18000.00")


@live
async def test_the_kill_switch_wants_a_flat_book_and_then_stops_orders(broker: Broker) -> None:
    order_id = await resting(broker)
    path = "/v2/killswitch?killSwitchStatus="
    refused(await broker.call("POST", path + "ACTIVATE"), 400, "DH-906")
    await broker.call("DELETE", f"/v2/orders/{order_id}")
    status, answer = await broker.call("POST", path + "ACTIVATE")
    assert (status, answer["killSwitchStatus"]) == (200, "Kill Switch has been successfully activated")
    assert (await broker.call("GET", "/v2/killswitch"))[1]["killSwitchStatus"] == "ACTIVATE"
    sbin = broker.listing("NSE", "SBIN")
    refused(await broker.call("POST", "/v2/orders", order(sbin, price=900)), 400, "DH-906", "Kill")
    refused(await broker.call("POST", path + "PERHAPS"), 400, "DH-905")
    await broker.call("POST", path + "DEACTIVATE")
    await resting(broker)


@live
async def test_the_11th_order_call_in_a_second_is_429_without_retry_after(broker: Broker) -> None:
    await broker.settle(3)
    answers = [await broker.call("DELETE", "/v2/orders/1", pause=False) for _ in range(11)]
    assert [status for status, _ in answers] == [400] * 10 + [429]
    refused(answers[-1], 429, "DH-904")
    status, _ = await broker.call("GET", "/v2/orders", pause=False)
    assert status == 200, "reading has its own limit"


@live
async def test_unknown_paths_answer_in_the_frameworks_style(broker: Broker) -> None:
    status, body = await broker.call("GET", "/v2/super/orders")
    assert (status, body["status"], body["error"], body["path"]) == (
        404,
        404,
        "Not Found",
        "/v2/super/orders",
    )
    assert body["timestamp"] == int(broker.clock.now().timestamp() * 1000)


@live
async def test_a_body_that_is_no_json_object_is_dh_905(broker: Broker) -> None:
    for raw in (b"{", b"[]", b'"x"'):
        async with broker.http.post(f"{broker.url}/v2/orders", data=raw, headers=broker.headers) as response:
            refused((response.status, await response.json()), 400, "DH-905")


@live
async def test_holdings_and_none_of_them(broker: Broker) -> None:
    account = broker.server.exchange.account(ACCOUNT)
    held = account.holdings()
    answer = await broker.call("GET", "/v2/holdings")
    if held:
        assert answer[0] == 200
        assert [found["totalQty"] for found in answer[1]] == [holding.quantity for holding in held]
        assert answer[1][0]["exchange"] == "ALL"
        account.holdings = lambda: []  # type: ignore[method-assign]
        answer = await broker.call("GET", "/v2/holdings")
    refused(answer, 500, "DH-1111", "No holdings available")
    assert answer[1]["errorType"] == "HOLDING_ERROR"


@live
async def test_trade_history_has_charges_and_ends_after_its_first_page(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    await broker.call("POST", "/v2/orders", order(sbin, orderType="MARKET"))
    status, rows = await broker.call("GET", "/v2/trades/2026-09-16/2026-09-16/0")
    assert (status, len(rows)) == (200, 1)
    assert (rows[0]["createTime"], rows[0]["instrument"], rows[0]["stt"]) == ("NA", "EQUITY", 0.0)
    assert await broker.call("GET", "/v2/trades/2026-09-16/2026-09-16/1") == (200, [])
    assert await broker.call("GET", "/v2/trades/2026-09-01/2026-09-15/0") == (200, [])
    refused(await broker.call("GET", "/v2/trades/today/2026-09-16/0"), 400, "DH-905")


@live
async def test_a_position_is_not_converted_and_the_answer_is_json(broker: Broker) -> None:
    body = {"fromProductType": "INTRADAY", "toProductType": "CNC", "securityId": "3045", "convertQty": 1}
    refused(await broker.call("POST", "/v2/positions/convert", body), 400, "DH-906")
    refused(await broker.call("POST", "/v2/positions/convert", {"toProductType": "CNC"}), 400, "DH-905")
