"""Paper GTT orders block what their order would, while they are armed and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.errors import OrderRejected
from brokers.model import Action, PriceType
from brokers.sim.exchange.types import Refusal
from gateway.sandbox.purse import GttPurse
from gateway.triggers import runner
from tests.gateway.sandbox.world import World
from tests.gateway.trading.desks import until
from tests.gateway.triggers.bench import SBIN, Keeper, oco, single

D = Decimal
BUY = Action.BUY


@pytest.fixture
def keeper(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """A paper keeper whose money is that of ``world``; its orders go to a desk of its own."""
    monkeypatch.setattr(runner, "CHORES_S", 0.02)
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.05)
    one = Keeper(tmp_path / "gtt.db", title="The sandbox", purse=GttPurse(world.exchange))
    one.quotes[SBIN] = 800.0
    one.open()
    until(lambda: one.ticks.listeners)
    yield one
    one.close()


def utilised(world: World) -> Decimal:
    return world.exchange.funds().utilised


def test_it_blocks_what_its_dearest_leg_costs_and_frees_it_at_the_end(keeper: Keeper, world: World) -> None:
    free = world.exchange.funds().available
    answer = keeper.gtts.place(replace(oco(), action=BUY))  # CNC: 5 x 819.50 in full
    assert utilised(world) == D("4097.50")
    assert world.exchange.funds().available == free - D("4097.50")
    assert "4097.50 rupees are blocked" in answer.message
    assert [row.margin for row in keeper.gtts.book()] == [D("4097.50")]
    market = single(action=BUY, price_type=PriceType.MARKET)  # valued at its trigger
    second = keeper.gtts.place(market).trigger_id
    assert utilised(world) == D("4097.50") + 5 * 790
    keeper.gtts.cancel(second)
    keeper.gtts.modify(answer.trigger_id, replace(oco(), action=BUY, quantity=6))
    assert utilised(world) == D("4917.00")
    keeper.gtts.cancel(answer.trigger_id)
    assert utilised(world) == 0


def test_a_sale_of_shares_needs_no_money(keeper: Keeper, world: World) -> None:
    assert keeper.gtts.place(single()).ok
    assert utilised(world) == 0


def test_the_order_of_a_fire_finds_the_money_free(keeper: Keeper, world: World) -> None:
    seen = []
    keeper.rest.on_place = lambda order: seen.append(utilised(world))
    trigger_id = keeper.gtts.place(single("810", rises=True, price="810", action=BUY)).trigger_id
    until(lambda: SBIN in keeper.gtts._runner._watched.rows)
    assert utilised(world) == 4050
    keeper.ticks.send(811.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert seen == [0]


def test_without_the_money_it_is_refused_and_orders_cannot_spend_what_it_blocks(
    keeper: Keeper, world: World
) -> None:
    most = int(world.exchange.funds().available / D("789.5"))
    first = keeper.gtts.place(single(action=BUY, quantity=most), client_order_id="mine")
    assert first.ok
    for change in (
        lambda: keeper.gtts.place(single(action=BUY, quantity=2)),
        lambda: keeper.gtts.modify(first.trigger_id, single(action=BUY, quantity=most + 1)),
    ):
        with pytest.raises(OrderRejected) as caught:
            change()
        assert caught.value.code == "INSUFFICIENT_MARGIN"
    assert keeper.gtts.place(single(action=BUY, quantity=most), client_order_id="mine").repeated
    with pytest.raises(Refusal, match="insufficient funds"):
        world.order(type="LIMIT", price="800", quantity=10, product="CNC")
    assert len(keeper.store.working()) == 1


def test_a_restart_blocks_it_again_and_a_new_day_keeps_it(keeper: Keeper, world: World) -> None:
    keeper.gtts.place(single(action=BUY))
    blocked = utilised(world)
    assert blocked == D("3947.50")
    keeper.close()
    world.exchange.reserve(D(0))
    keeper.more["purse"] = GttPurse(world.exchange)
    keeper.open()
    until(lambda: utilised(world) == blocked)
    world.clock.advance(3 * 86_400)
    assert utilised(world) == blocked
    world.exchange.reset()
    assert utilised(world) == blocked
