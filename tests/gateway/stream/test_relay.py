from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from brokers.errors import BrokerDown
from brokers.model import Action, InstrumentKey, Order, OrderStatus, OrderUpdate, PriceType
from gateway.stream.protocol import order_update
from gateway.stream.relay import OrderRelay
from tests.gateway.stream.rig import on_loop, until


def update(order_id, status=OrderStatus.OPEN, filled=0):
    order = Order(
        order_id=order_id,
        key=InstrumentKey("NSE", "PNB"),
        action=Action.BUY,
        quantity=25,
        price_type=PriceType.LIMIT,
        product="CNC",
        price=Decimal("118.40"),
        trigger_price=Decimal(0),
        status=status,
        filled_quantity=filled,
        average_price=Decimal(0),
        rejection_reason="no funds" if status is OrderStatus.REJECTED else "",
        placed_at=datetime(2026, 11, 20, 4, 0, tzinfo=UTC),
    )
    return OrderUpdate(order, 1_795_150_000_000_000_000)


class Api:
    """The api process's end: answers what it is told to, keeps what it took."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []
        self.taken = []

    async def post(self, path, body, *, timeout_s=10.0):
        assert path == "/internal/order-update"
        batch = msgspec.json.decode(msgspec.json.encode(body), type=list[OrderUpdate])
        self.calls.append([u.order.order_id for u in batch])
        answer = self.answers.pop(0) if self.answers else 204
        if answer == "poison":
            self.answers.insert(0, "poison")
            answer = 400 if any(u.order.order_id == "bad" for u in batch) else 204
        if answer is None:
            raise BrokerDown("restarting")
        if answer in (200, 204):
            self.taken += batch
        return answer, None


async def deliver(api, updates, want, **more):
    relay = OrderRelay(api, first_wait_s=0.001, most_wait_s=0.002, **more)
    task = asyncio.create_task(relay.run())
    for one in updates:
        relay.add(one)
    await until(lambda: len(api.taken) == want and len(relay) == 0)
    task.cancel()
    return relay


@on_loop
async def test_updates_arrive_whole_and_in_order():
    api = Api()
    updates = [update(str(n)) for n in range(250)]
    relay = await deliver(api, updates, 250)
    assert api.taken == updates
    assert max(len(c) for c in api.calls) <= 100
    assert relay.counts.delivered == 250


@on_loop
async def test_nothing_is_lost_while_the_api_process_restarts():
    api = Api(None, 503, 500, 403, None)
    relay = await deliver(api, [update("1"), update("2")], 2)
    assert [u.order.order_id for u in api.taken] == ["1", "2"]
    assert relay.counts.retries == 5


@on_loop
async def test_one_that_cannot_be_read_does_not_hold_up_the_rest():
    api = Api("poison")
    relay = await deliver(api, [update("1"), update("bad"), update("2")], 2)
    assert [u.order.order_id for u in api.taken] == ["1", "2"]
    assert relay.counts.refused == 1


@on_loop
async def test_a_full_queue_drops_the_oldest_and_counts_it():
    api = Api()
    relay = OrderRelay(api, most=3)
    for n in range(5):
        relay.add(update(str(n)))
    task = asyncio.create_task(relay.run())
    await until(lambda: len(api.taken) == 3)
    task.cancel()
    assert [u.order.order_id for u in api.taken] == ["2", "3", "4"]
    assert relay.counts.overflowed == 2


def test_an_order_frame_is_the_contracts():
    frame = order_update(update("51", OrderStatus.REJECTED), broker="dhan", user="alice")
    assert frame == {
        "type": "order_update",
        "user_id": "alice",
        "mode": "live",
        "broker": "dhan",
        "orderid": "51",
        "symbol": "PNB",
        "exchange": "NSE",
        "action": "BUY",
        "quantity": 25,
        "price": 118.4,
        "trigger_price": 0.0,
        "pricetype": "LIMIT",
        "product": "CNC",
        "order_status": "rejected",
        "filled_quantity": 0,
        "pending_quantity": 0,
        "average_price": 0.0,
        "rejection_reason": "no funds",
    }
    assert order_update(update("52", filled=10), broker="dhan", user="a")["pending_quantity"] == 15


class Nudged(Api):
    """Counts the requests to read the books; the first fails, as while it restarts."""

    reconciles = 0
    down = 1

    async def post(self, path, body, *, timeout_s=10.0):
        if path != "/internal/reconcile":
            return await super().post(path, body, timeout_s=timeout_s)
        if self.down:
            self.down -= 1
            raise BrokerDown("restarting")
        self.reconciles += 1
        return 204, None


@on_loop
async def test_what_may_have_been_missed_is_read_from_the_books_once_the_api_answers():
    api = Nudged()
    relay = OrderRelay(api, first_wait_s=0.001, most_wait_s=0.002, most=2)
    relay.missed("started")
    task = asyncio.create_task(relay.run())
    await until(lambda: api.reconciles == 1)
    for n in range(5):
        relay.add(update(f"o{n}"))  # the queue holds two: three are gone
    await until(lambda: api.reconciles == 2 and len(api.taken) == 2)
    api.answers = [400]
    relay.add(update("bad"))
    await until(lambda: api.reconciles == 3)
    assert relay.counts.reconciles == 3
    await asyncio.sleep(0.02)
    assert api.reconciles == 3  # asked once each time, not again and again
    task.cancel()
