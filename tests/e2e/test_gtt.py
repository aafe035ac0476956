"""A GTT the gateway keeps, on real processes: ticks of the feed fire it, also after its keeper was killed.

The simulated price is a function of seed and time, so the test knows which trigger will be reached, and when.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from brokers.calendar import AlwaysOpen
from brokers.clock import IST
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import Universe
from tests.e2e.fleet import Fleet, until
from tests.e2e.trader import Trader
from tests.midnight import not_over_midnight

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150), pytest.mark.xdist_group("gtt")]
RUN_S = 60.0
SEED = 1
STAYS_S = 8
"""So long the price stays above the trigger: a keeper that is away at the moment finds it there."""


@pytest.fixture(scope="module")
def trader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trader]:
    not_over_midnight(RUN_S)
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak")
    try:
        one.ok("up", "kotak", "--sim", "-d")
        yield Trader(one, "kotak", one.key("kotak"))
    finally:
        one.destroy()


def market() -> tuple[Prices, list[Listing]]:
    universe = Universe(SEED, datetime.now(IST).date(), "small")
    shares = [x for x in universe.listings if x.exchange == "NSE" and x.kind is Kind.EQUITY]
    return Prices(SEED, universe, AlwaysOpen()), shares


def move(skip_s: int, until_s: int) -> tuple[str, float, bool] | None:
    """A share, and a trigger its price reaches after ``skip_s`` and stays beyond from ``until_s`` on; whether
    it rises to it. None when no share moves so now."""
    prices, shares = market()
    now = datetime.now(UTC)

    def steps(listing: Listing, start: int, end: int) -> list[int]:
        return [prices.ltp(listing, now + timedelta(seconds=s / 4)) for s in range(start * 4, end * 4)]

    for listing in shares:
        before = steps(listing, -2, skip_s)
        after = steps(listing, until_s, until_s + STAYS_S)
        if min(after) > max(before):
            return listing.symbol, (max(before) + listing.tick_paise) / 100, True
        if max(after) < min(before):
            return listing.symbol, (min(before) - listing.tick_paise) / 100, False
    return None


def place(trader: Trader, skip_s: int, until_s: int) -> tuple[str, str, int]:
    """The trigger id, its symbol, and how many orders of it the broker had."""
    symbol, trigger, rises = until(lambda: move(skip_s, until_s), 60, "a share that moves")
    before = len(orders(trader, symbol))
    limit = int(trigger * 1.01) + 1  # whole rupees are on every tick
    status, body = trader.post(
        "placegttorder",
        strategy="e2e",
        trigger_type="SINGLE",
        symbol=symbol,
        exchange="NSE",
        action="BUY",
        product="CNC",
        quantity=1,
        price=limit,
        **{"triggerprice_tg" if rises else "triggerprice_sl": f"{trigger:.2f}"},
    )
    assert (status, body.get("kept_by")) == (200, "gateway"), body
    return str(body["trigger_id"]), symbol, before


def row(trader: Trader, trigger_id: str) -> dict[str, Any]:
    status, body = trader.post("gttorderbook", status="all")
    if status != 200:
        return {"status": "no answer"}
    return next(r for r in body["data"] if r["trigger_id"] == trigger_id)


def orders(trader: Trader, symbol: str) -> list[dict[str, Any]]:
    return [order for order in trader.at_broker() if order["symbol"] == symbol]


def test_ticks_fire_it_once(trader: Trader) -> None:
    trigger_id, symbol, before = place(trader, 1, 4)
    until(lambda: row(trader, trigger_id)["status"] == "triggered", 30, f"{symbol} fires")
    (order,) = orders(trader, symbol)[before:]
    assert row(trader, trigger_id)["orderid"] == order["id"]
    journal = trader.journal()[f"gtt:{trigger_id}:1"]
    assert (journal["order_id"], journal["strategy"]) == (order["id"], "e2e")


def test_killed_before_the_price_came_it_still_fires_once(trader: Trader) -> None:
    trigger_id, symbol, before = place(trader, 2, 7)
    pid = trader.fleet.instance("kotak")["pids"]["api"]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        found = trader.ready()
        return bool(found.get("ready")) and found["pid"] != pid

    until(back, 20, "api is back")
    until(lambda: row(trader, trigger_id)["status"] == "triggered", 40, f"{symbol} fires")
    assert len(orders(trader, symbol)) == before + 1


def test_on_paper_it_fires_into_the_sandbox(trader: Trader) -> None:
    assert trader.post("analyzer/toggle", mode=True)[0] == 200
    try:
        at_broker = len(trader.at_broker())
        trigger_id, symbol, _ = place(trader, 2, 5)
        until(lambda: row(trader, trigger_id)["status"] == "triggered", 30, f"{symbol} fires on paper")
        assert row(trader, trigger_id)["orderid"] in trader.book()
        assert len(trader.at_broker()) == at_broker
    finally:
        assert trader.post("analyzer/toggle", mode=False)[0] == 200
    assert trigger_id not in [r["trigger_id"] for r in trader.post("gttorderbook", status="all")[1]["data"]]
