"""Forever orders through a real server: taken, listed by leg, changed, cancelled, and fired by the price."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from brokers.clock import ManualClock
from brokers.sim.app import serve
from tests.brokers.sim.dhan.live import Broker, live
from tests.brokers.sim.dhan.test_rest import order, refused
from tests.brokers.sim.dhan.world import NOON

PATH = "/v2/forever/orders"
FALLING = "TCS"
"""It loses 0.15 % within minutes of the test's noon; SBIN gains."""


def single(broker: Broker, percent: float, symbol: str = "SBIN", **changes: Any) -> dict[str, Any]:
    """An order for one share once the price has moved so many percent."""
    sbin = broker.listing("NSE", symbol)
    trigger = broker.rupees(sbin, percent)
    given = {"transactionType": "BUY", "productType": "CNC", "orderFlag": "SINGLE", "correlationId": "gtt-1"}
    return order(sbin, **given, price=trigger, triggerPrice=trigger) | changes


def oco(broker: Broker, low: float, high: float) -> dict[str, Any]:
    sbin = broker.listing("NSE", "SBIN")
    upper = broker.rupees(sbin, high)
    return single(broker, low, orderFlag="OCO", price1=upper, triggerPrice1=upper, quantity1=1)


async def place(broker: Broker, body: dict[str, Any]) -> str:
    status, placed = await broker.call("POST", PATH, body)
    assert (status, placed["orderStatus"]) == (200, "PENDING"), placed
    return str(placed["orderId"])


async def rows(broker: Broker) -> list[dict[str, Any]]:
    status, found = await broker.call("GET", PATH)
    assert status == 200
    return list(found)


async def children(broker: Broker) -> list[dict[str, Any]]:
    status, found = await broker.call("GET", "/v2/orders")
    assert status == 200
    return [row for row in found if row["correlationId"] == "gtt-1"]


async def until_fired(broker: Broker) -> None:
    for _ in range(600):
        await broker.settle(1.0)
        if not broker.venue.forever._all or not any(o.is_armed for o in broker.venue.forever._all.values()):
            return
    raise AssertionError("the price never came")


@live
async def test_none_is_an_empty_list(broker: Broker) -> None:
    assert await rows(broker) == []


@live
async def test_a_single_is_listed_armed_under_its_flag(broker: Broker) -> None:
    order_id = await place(broker, single(broker, -5))
    (row,) = await rows(broker)
    assert (row["orderId"], row["orderStatus"], row["orderType"]) == (order_id, "CONFIRM", "SINGLE")
    assert (row["legName"], row["correlationId"], row["quantity"]) == ("ENTRY_LEG", "gtt-1", 1)
    assert await children(broker) == []


@live
async def test_an_oco_is_two_rows_of_one_id(broker: Broker) -> None:
    order_id = await place(broker, oco(broker, -5, 5))
    stop, target = await rows(broker)
    assert [stop["orderId"], target["orderId"]] == [order_id, order_id]
    assert [stop["legName"], target["legName"]] == ["STOP_LOSS_LEG", "TARGET_LEG"]
    assert stop["triggerPrice"] < target["triggerPrice"]


@live
async def test_the_price_fires_one_leg_and_ends_the_other(broker: Broker) -> None:
    await place(broker, oco(broker, -9, 0.05))
    await until_fired(broker)
    assert [row["orderStatus"] for row in await rows(broker)] == ["CANCELLED", "TRADED"]
    (child,) = await children(broker)
    assert (child["orderType"], child["quantity"]) == ("LIMIT", 1)
    await broker.settle(60)
    assert len(await children(broker)) == 1
    assert broker.server.exchange._tape._watched == {}


@live
async def test_a_falling_price_fires_what_waits_below(broker: Broker) -> None:
    await place(broker, single(broker, -0.15, FALLING, orderType="MARKET", price=0))
    await until_fired(broker)
    assert [row["orderStatus"] for row in await rows(broker)] == ["TRADED"]
    assert len(await children(broker)) == 1


@live
async def test_a_leg_is_changed_by_its_name(broker: Broker) -> None:
    order_id = await place(broker, oco(broker, -5, 5))
    sbin = broker.listing("NSE", "SBIN")
    price = broker.rupees(sbin, 6)
    body = {"orderFlag": "OCO", "legName": "TARGET_LEG", "orderType": "LIMIT", "validity": "DAY"}
    body |= {"quantity": 2, "price": price, "triggerPrice": price}
    assert (await broker.call("PUT", f"{PATH}/{order_id}", body))[0] == 200
    stop, target = await rows(broker)
    assert (stop["quantity"], target["quantity"], target["triggerPrice"]) == (1, 2, price)
    refused(await broker.call("PUT", f"{PATH}/{order_id}", body | {"legName": "ENTRY_LEG"}), 400, "DH-905")
    low = broker.rupees(sbin, -6)
    refused(await broker.call("PUT", f"{PATH}/{order_id}", body | {"triggerPrice": low}), 400, "DH-906")


@live
async def test_a_cancelled_one_stays_listed_and_is_final(broker: Broker) -> None:
    order_id = await place(broker, single(broker, -5))
    status, gone = await broker.call("DELETE", f"{PATH}/{order_id}")
    assert (status, gone["orderStatus"]) == (202, "CANCELLED")
    assert [row["orderStatus"] for row in await rows(broker)] == ["CANCELLED"]
    refused(await broker.call("DELETE", f"{PATH}/{order_id}"), 400, "DH-906")
    refused(await broker.call("DELETE", f"{PATH}/nobody"), 400, "DH-906")


@live
async def test_what_the_risk_desk_refuses_is_shown_on_the_order(broker: Broker) -> None:
    await place(broker, single(broker, 0.05, quantity=100_000_000))
    await until_fired(broker)
    (row,) = await rows(broker)
    made = await children(broker)
    assert (row["orderStatus"], [child["orderStatus"] for child in made]) == ("REJECTED", [])


def test_a_restart_forgets_none(tmp_path: Path) -> None:
    async def run() -> None:
        clock, state = ManualClock(NOON), tmp_path / "books.db"
        for number in range(2):
            server = await serve("dhan", 0, clock=clock, state=state)
            try:
                async with asyncio.timeout(30), aiohttp.ClientSession() as http:
                    broker = Broker(server, clock, http)
                    if number == 0:
                        await place(broker, oco(broker, -9, 0.05))
                        continue
                    assert [row["orderStatus"] for row in await rows(broker)] == ["CONFIRM", "CONFIRM"]
                    await until_fired(broker)
                    assert [row["orderStatus"] for row in await rows(broker)] == ["CANCELLED", "TRADED"]
                    assert len(await children(broker)) == 1
            finally:
                await server.stop()

    asyncio.run(run())


BAD: list[tuple[dict[str, Any], str]] = [
    ({"orderFlag": "TWO"}, "DH-905"),
    ({"orderType": "STOP_LOSS"}, "DH-905"),
    ({"triggerPrice": 0}, "DH-905"),
    ({"triggerPrice": 700.01}, "DH-905"),
    ({"productType": "MARGIN"}, "DH-905"),
    ({"securityId": "9"}, "DH-905"),
    ({"orderFlag": "OCO"}, "DH-905"),
    ({"correlationId": "x" * 26}, "DH-905"),
]


@pytest.mark.parametrize(("change", "code"), BAD)
def test_bad_input_is_refused(change: dict[str, Any], code: str) -> None:
    @live
    async def run(broker: Broker) -> None:
        refused(await broker.call("POST", PATH, single(broker, -5) | change), 400, code)
        assert await rows(broker) == []

    run()


@live
async def test_another_account_sees_nothing(broker: Broker) -> None:
    order_id = await place(broker, single(broker, -5))
    token = str(broker.venue.issue("1100000002")["accessToken"])
    headers = {"access-token": token, "client-id": "1100000002"}
    assert (await broker.call("GET", PATH, headers=headers))[1] == []
    refused(await broker.call("DELETE", f"{PATH}/{order_id}", headers=headers), 400, "DH-906")
