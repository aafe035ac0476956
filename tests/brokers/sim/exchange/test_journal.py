"""A broker does not forget: the books over a restart of its process, and over a night."""

from __future__ import annotations

import sqlite3

import pytest

from brokers.errors import SettingsError
from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.types import Status, Type
from tests.brokers.sim.exchange.world import BUY, SELL, World


def books(world):
    account = world.exchange.account("A")
    return (
        list(world.exchange.orders()),
        account.trades,
        account.positions(),
        account.holdings(),
        account.funds(),
    )


def trade_a_little(world):
    world.place(quantity=10)
    world.place(quantity=5, product="CNC", listing=world.listing("INFY"))
    world.place(quantity=90_00, product="CNC")  # rejected
    cancelled = world.place(type=Type.LIMIT, price=world.ltp() - 9, quantity=3)
    world.exchange.cancel("A", cancelled.order_id)
    resting = world.place(type=Type.LIMIT, price=world.ltp() - 1, quantity=800)
    stop = world.place(side=SELL, type=Type.STOP_MARKET, trigger=world.ltp() - 1, quantity=10)
    return resting, stop


def test_a_restart_finds_every_order_trade_position_and_rupee(tmp_path):
    world = World(state=tmp_path / "sim.db")
    trade_a_little(world)
    world.exchange.submit(world.new(quantity=1))  # its process dies before the exchange took it
    before = books(world)
    # no close: as after kill -9
    again = World(state=tmp_path / "sim.db", clock=world.clock)
    assert books(again) == before
    assert again.exchange.snapshot(again.listing()).volume == world.exchange.snapshot(world.listing()).volume


def test_after_a_restart_orders_go_on(tmp_path):
    world = World(state=tmp_path / "sim.db")
    resting, stop = trade_a_little(world)
    transit = world.exchange.submit(world.new(quantity=1))
    again = World(state=tmp_path / "sim.db", clock=world.clock)
    account = again.exchange.account("A")
    again.wait(0.01)
    assert account.orders[transit.order_id].status is Status.FILLED
    again.wait_for(account.orders[resting.order_id], Status.FILLED, within_s=20_000)
    again.wait_for(account.orders[stop.order_id], Status.FILLED, within_s=20_000)
    number = len(account.orders)
    assert again.place(quantity=1).order_id.endswith(f"{number + 1:08d}")
    trades = [t.trade_id for t in account.trades]
    assert len(set(trades)) == len(trades)


def test_what_a_listener_hears_is_already_on_disk(tmp_path):
    world = World(state=tmp_path / "sim.db")
    seen = []

    def look(order, trade):
        rows = sqlite3.connect(tmp_path / "sim.db").execute("SELECT id FROM orders").fetchall()
        seen.append((order.order_id,) in rows)

    world.exchange.on_order(look)
    world.place(quantity=10)
    assert seen == [True, True, True]


def test_a_restart_on_the_next_day_begins_it(tmp_path):
    world = World(state=tmp_path / "sim.db")
    trade_a_little(world)
    cash = world.exchange.account("A").opening
    world.clock.advance(86_400)
    again = World(state=tmp_path / "sim.db", clock=world.clock)
    account = again.exchange.account("A")
    assert (list(again.exchange.orders()), account.trades) == ([], [])
    assert {h.listing.symbol: h.quantity for h in account.holdings()}["INFY"] == 105
    assert [(p.product, p.net) for p in account.positions()] == [("MIS", 10)]
    assert account.opening < cash
    third = World(state=tmp_path / "sim.db", clock=world.clock)
    assert books(third) == books(again)


def test_a_night_awake_and_a_night_asleep_end_alike(tmp_path):
    awake, asleep = World(state=tmp_path / "a.db"), World(state=tmp_path / "b.db")
    for world in (awake, asleep):
        world.place(quantity=10)
        world.place(quantity=5, product="CNC", listing=world.listing("INFY"))
    awake.wait(86_400)
    asleep.clock.advance(86_400)
    asleep = World(state=tmp_path / "b.db", clock=asleep.clock)
    assert books(awake) == books(asleep)


def test_nothing_half_written_survives(tmp_path):
    """The process dies inside a transaction: the file is as before it."""
    world = World(state=tmp_path / "sim.db")
    world.place(quantity=10)
    before = books(world)
    journal = world.journal
    journal._db.execute("BEGIN IMMEDIATE")
    journal._db.execute("DELETE FROM orders")
    journal._db.close()
    again = World(state=tmp_path / "sim.db", clock=world.clock)
    assert books(again) == before


@pytest.mark.parametrize(
    "wrong", [{"venue": "live"}, {"broker": "kotak"}, {"schema": "openalgo"}, {"version": "99"}], ids=str
)
def test_another_programs_file_is_refused_and_left_alone(tmp_path, wrong):
    path = tmp_path / "sim.db"
    Journal(path, "dhan").close()
    with sqlite3.connect(path) as db:
        db.executemany("UPDATE meta SET value = ? WHERE key = ?", [(v, k) for k, v in wrong.items()])
    kept = path.read_bytes()
    with pytest.raises(SettingsError, match=r"sim\.db"):
        Journal(path, "dhan")
    assert path.read_bytes() == kept


def test_a_file_without_our_stamp_is_refused(tmp_path):
    path = tmp_path / "sim.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id TEXT)")
    with pytest.raises(SettingsError):
        Journal(path, "dhan")
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(SettingsError):
        Journal(path, "dhan")


def test_accounts_do_not_mix(tmp_path):
    world = World(state=tmp_path / "sim.db")
    world.place(BUY, 10, account="A")
    world.place(SELL, 4, account="B")
    again = World(state=tmp_path / "sim.db", clock=world.clock)
    assert [p.net for p in again.exchange.account("A").positions()] == [10]
    assert [p.net for p in again.exchange.account("B").positions()] == [-4]
