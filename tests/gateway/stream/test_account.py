"""What the account holds goes before what anybody asked for."""

from __future__ import annotations

from brokers.errors import BrokerDown
from brokers.model import InstrumentKey
from gateway.stream.hub import POSITIONS, WORKING_ORDERS
from gateway.stream.standing import Account, Standing
from tests.gateway.stream.rig import ask, hear, limits, on_loop, running

SLOT = "Symbol count exceeds maximum (2) for dhan"


class Api:
    """The api process's answer to "positions and orders"."""

    def __init__(self) -> None:
        self.positions: list[str] = []
        self.orders: list[str] = []
        self.down = False

    async def get(self, path, *, timeout_s=5.0):
        if self.down:
            raise BrokerDown("restarting")
        positions, orders = (
            [{"exchange": "NSE", "symbol": s} for s in x] for x in (self.positions, self.orders)
        )
        return 200, {"keys": positions + orders, "positions": positions, "orders": orders}


@on_loop
async def test_positions_then_working_orders_take_slots_and_give_them_back(tmp_path):
    async with running(tmp_path, limits=limits(max_symbols=2)) as rig, rig.client() as ws:
        api = Api()
        account = Account(
            Standing(rig.fanout, "positions", POSITIONS), Standing(rig.fanout, "orders", WORKING_ORDERS), api
        )
        for symbol in ("SBIN", "TCS"):
            await ask(ws, action="subscribe", symbol=symbol, exchange="NSE", mode=1)

        async def upstream() -> set[str]:
            await account._once()
            return {key.symbol for key in rig.feed.wanted}

        api.orders = ["RELIANCE"]
        assert await upstream() == {"SBIN", "RELIANCE"}
        told = await hear(ws)
        assert told["subscriptions"][0]["message"] == f"{SLOT}; a working order needed the slot"
        assert told["subscriptions"][0]["symbol"] == "TCS"
        api.positions = ["M&M", "BAJAJ-AUTO"]
        assert await upstream() == {"M&M", "BAJAJ-AUTO"}
        assert (await hear(ws))["subscriptions"][0]["message"] == f"{SLOT}; an open position needed the slot"
        api.down = True  # not known is not none
        assert await upstream() == {"M&M", "BAJAJ-AUTO"}
        api.down, api.positions = False, []
        assert await upstream() == {"RELIANCE", "SBIN"}
        api.orders = []
        assert await upstream() == {"SBIN", "TCS"}
        states = (await ask(ws, action="get_subscriptions"))["subscriptions"]
        assert {s["symbol"]: s["state"] for s in states} == {"SBIN": "pending", "TCS": "pending"}


@on_loop
async def test_a_position_without_a_slot_gets_one_when_another_is_closed(tmp_path):
    async with running(tmp_path, limits=limits(max_symbols=2)) as rig:
        api = Api()
        positions = Standing(rig.fanout, "positions", POSITIONS)
        account = Account(positions, Standing(rig.fanout, "orders", WORKING_ORDERS), api)
        api.positions = ["SBIN", "TCS", "RELIANCE"]
        await account._once()
        [over] = positions.waiting
        api.positions.remove(next(key.symbol for key in rig.feed.wanted))
        await account._once()
        assert {key.symbol for key in rig.feed.wanted} == set(api.positions)
        assert over.symbol in api.positions
        assert positions.waiting == {}


@on_loop
async def test_an_order_in_something_new_is_looked_at_now_in_something_streamed_at_the_next_turn(
    tmp_path,
):
    async with running(tmp_path) as rig:
        api = Api()
        api.orders = ["SBIN"]
        positions, orders = (
            Standing(rig.fanout, "positions", POSITIONS),
            Standing(rig.fanout, "orders", WORKING_ORDERS),
        )
        account = Account(positions, orders, api)
        account.look_now(InstrumentKey("NSE", "SBIN"))
        assert account._now.is_set()
        account._now.clear()
        await account._once()
        account.look_now(InstrumentKey("NSE", "SBIN"))
        assert not account._now.is_set()
        account.look_now(InstrumentKey("NSE", "TCS"))
        assert account._now.is_set()
