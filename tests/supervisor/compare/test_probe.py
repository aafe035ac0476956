"""What may be sent, and what exactly would be: no instance runs here."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers import registry
from brokers.errors import InvalidRequest, StoreError
from gateway.trading import limiter
from supervisor.compare import probe
from supervisor.compare.ledger import Ledger
from supervisor.compare.probe import BUY, SELL, Market, Standing, Window
from tests.supervisor.compare.pipeline import MARKET

BOTH = {"dhan": MARKET, "kotak": MARKET}


def standing(instance: str = "dhan", **change: object) -> Standing:
    usual = Standing(instance, "sim", True, (), "live", True, True, (), (), 0)
    return replace(usual, **change)  # type: ignore[arg-type]


def refused(one: Standing, side: str = BUY, rounds: int = 10, consent: tuple[str, ...] = ()) -> str:
    return "; ".join(probe.refusals(side, [standing("kotak"), one], rounds, consent))


def test_nothing_is_in_the_way_of_a_fit_fleet() -> None:
    assert refused(standing()) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"orders": (("SELL", False),)}, "dhan: a working order on the other side (SELL)"),
        ({"orders": (("BUY", True), ("SELL", True))}, "dhan: a probe on the other side (SELL)"),
        ({"positions": (-1,)}, "dhan: a position on the other side (-1)"),
        ({"used_today": probe.SIM_CAP - 9}, "19991 of 20000 probes of today are used, 10 asked"),
        ({"market_open": False}, "dhan: the market is closed"),
        ({"ready": False, "waiting_for": ("broker session: none",)}, "not ready (broker session: none)"),
        ({"mode": "analyze"}, "in analyze mode"),
        ({"executes": False}, "has not the role to execute"),
        ({"blocked": "algo panic"}, "entries are blocked (algo panic)"),
        ({"venue": "live"}, "no consent for this session (--consent dhan)"),
    ],
)
def test_each_reason_stops_it(change: dict[str, object], why: str) -> None:
    assert why in refused(standing(**change))


def test_the_same_side_and_a_named_live_instance_pass() -> None:
    assert refused(standing(orders=(("BUY", False),), positions=(5,))) == ""
    assert refused(standing(venue="live"), consent=("dhan",)) == ""
    assert "no consent" in refused(standing(venue="live"), consent=("kotak",))


def test_a_live_broker_takes_fewer() -> None:
    live = standing(venue="live", used_today=probe.LIVE_CAP - 5)
    assert "195 of 200 probes" in refused(live, rounds=6, consent=("dhan",))
    assert refused(live, rounds=5, consent=("dhan",)) == ""


def test_a_sell_is_stopped_by_what_would_buy_from_it() -> None:
    assert refused(standing(positions=(3,)), SELL) == "dhan: a position on the other side (+3)"
    assert refused(standing(orders=(("SELL", False),)), SELL) == ""


def test_prices_lie_far_away_on_the_tick_and_inside_the_circuits() -> None:
    assert probe.price_for(BUY, BOTH) == (Decimal("680.05"), Decimal("679.95"))
    assert probe.price_for(SELL, BOTH) == (Decimal("920.15"), Decimal("920.25"))
    tight = replace(MARKET, lower=Decimal("720.02"), upper=Decimal("880.03"))
    price, moved = probe.price_for(BUY, {"dhan": MARKET, "kotak": tight})
    assert (price, moved) == (Decimal("720.15"), Decimal("720.05"))
    price, moved = probe.price_for(SELL, {"dhan": MARKET, "kotak": tight})
    assert (price, moved) == (Decimal("879.90"), Decimal("880.00"))
    # the lowest of all last prices counts for a BUY
    low = replace(MARKET, ltp=Decimal("700"))
    free = {name: replace(one, lower=None) for name, one in {"dhan": MARKET, "kotak": low}.items()}
    assert probe.price_for(BUY, free)[0] == Decimal("595.00")


@pytest.mark.parametrize(
    "other",
    [
        replace(MARKET, lower=Decimal("790"), upper=Decimal("810")),
        replace(MARKET, tick=Decimal("0.01")),
        replace(MARKET, lot=25),
        replace(MARKET, ltp=Decimal(0)),
        replace(MARKET, tick=Decimal(0)),
    ],
)
def test_no_room_or_another_contract_is_refused(other: Market) -> None:
    with pytest.raises(InvalidRequest):
        probe.price_for(BUY, {"dhan": MARKET, "kotak": other})


def test_a_seed_makes_the_plan_and_turns_are_random() -> None:
    plan = probe.plan("NSE", "SBIN", BUY, BOTH, 200, 7)
    assert plan == probe.plan("NSE", "SBIN", BUY, BOTH, 200, 7)
    assert plan.steps != probe.plan("NSE", "SBIN", BUY, BOTH, 200, 8).steps
    assert [step.at_s for step in plan.steps] == sorted(step.at_s for step in plan.steps)
    places = [step for step in plan.steps if step.op == probe.PLACE]
    first = Counter(a.instance for a, b in zip(places[::2], places[1::2], strict=True) if a.round == b.round)
    assert sum(first.values()) == 200
    assert 70 < first["dhan"] < 130
    assert plan.quantity == MARKET.lot


def at_brokers(used: int = 0) -> dict[str, Market]:
    """Contracts with the order windows of each broker's own facts, as the limiter keeps them."""
    found = {}
    for name in registry.names():
        windows = [limiter.Window(rule) for rule in registry.spec(name).order_windows]
        found[name] = replace(
            MARKET, windows=tuple(Window(w.count, w.seconds, used, w.reserve) for w in windows)
        )
    return found


@pytest.mark.parametrize(
    ("rounds", "period_s", "why"),
    [
        (2, 0.5, ""),
        (9, 0.5, "dhan: 8 order requests in 1.1 s, and its limit leaves 7 (9 less 2 kept for exits)"),
        (80, 0.75, "dhan: 240 order requests in 60 s, and its limit leaves 228 (240 less 12 kept for exits)"),
        (300, 1.0, ""),
        (301, 1.0, "dhan: 903 order requests in 1 h, and its limit leaves 902 (950 less 48 kept for exits)"),
        (400, 12.5, ""),
        (2154, 20.0, "dhan: 6462 order requests in 24 h, and its limit leaves 6460"),
    ],
)
def test_a_plan_knows_every_window_of_each_broker(rounds: int, period_s: float, why: str) -> None:
    if not why:
        assert probe.plan("NSE", "SBIN", BUY, at_brokers(), rounds, 3, period_s=period_s).period_s == period_s
        return
    with pytest.raises(InvalidRequest) as told:
        probe.plan("NSE", "SBIN", BUY, at_brokers(), rounds, 3, period_s=period_s)
    assert why in str(told.value)
    assert "kotak" not in str(told.value) or period_s == 0.5


def test_a_refusal_says_what_would_fit_and_what_fits_is_taken() -> None:
    with pytest.raises(InvalidRequest, match="it would fit with --count 300 or --period 12.5$"):
        probe.plan("NSE", "SBIN", BUY, at_brokers(), 400, 3, period_s=1.0)
    # nobody said how fast: slowed down, also by what was sent before
    assert probe.plan("NSE", "SBIN", BUY, at_brokers(), 300, 3).period_s == 1.0
    assert probe.plan("NSE", "SBIN", BUY, at_brokers(), 400, 3).period_s == 12.5
    assert probe.plan("NSE", "SBIN", BUY, at_brokers(used=200), 300, 3).period_s == 20.0
    with pytest.raises(InvalidRequest, match="and 900 used"):
        probe.plan("NSE", "SBIN", BUY, at_brokers(used=900), 300, 3)


@pytest.mark.parametrize("period_s", [0.5, 0.8, 1.0, 1.7])
@pytest.mark.parametrize("seconds", [0.3, 1.1, 7.0, 60.0])
def test_no_seed_has_more_in_a_window_than_is_said(seconds: float, period_s: float) -> None:
    most = probe.most_in(seconds, 50, period_s)
    seen = []
    for seed in range(20):
        plan = probe.plan("NSE", "SBIN", BUY, BOTH, 50, seed, period_s=period_s)
        at = [step.at_s for step in plan.steps if step.instance == "dhan"]
        seen.append(max(bisect_left(at, begin + seconds) - number for number, begin in enumerate(at)))
    assert max(seen) <= most <= max(seen) + 2


def test_a_probe_is_placed_then_modified_then_cancelled_before_the_next() -> None:
    plan = probe.plan("NSE", "SBIN", BUY, BOTH, 50, 3)
    for name in BOTH:
        own = [step for step in plan.steps if step.instance == name]
        assert [step.op for step in own] == list(probe.OPS) * 50
        assert [step.round for step in own[:: len(probe.OPS)]] == list(range(50))


def test_the_cap_outlives_a_run_and_ends_with_the_day(tmp_path: Path) -> None:
    path = tmp_path / "db" / "compare.db"
    assert Ledger(path, "live").take({"dhan": 150, "kotak": 10}, "2026-11-20") == ""
    again = Ledger(path, "live")
    assert again.used("dhan", "2026-11-20") == 150
    assert "dhan: 150 of 200" in again.take({"kotak": 51, "dhan": 51}, "2026-11-20")
    # all or nothing
    assert again.used("kotak", "2026-11-20") == 10
    assert again.take({"dhan": 51}, "2026-11-21") == ""
    again.give_back("dhan", "2026-11-20", 20)
    assert again.used("dhan", "2026-11-20") == 130
    with pytest.raises(StoreError, match="belongs to live"):
        Ledger(path, "sim").used("dhan", "2026-11-20")
