"""A small simulated market on a fixed day, shared by the tests of Dhan's venue."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from brokers.calendar import AlwaysOpen
from brokers.clock import IST
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.types import Listing, Snapshot
from brokers.sim.exchange.universe import Universe

NOON = datetime(2026, 9, 16, 12, 0, tzinfo=IST).astimezone(UTC)


@cache
def universe() -> Universe:
    return Universe(1, NOON.astimezone(IST).date(), "small", AlwaysOpen())


@cache
def prices() -> Prices:
    return Prices(1, universe(), AlwaysOpen())


def listing(exchange: str, symbol: str) -> Listing:
    found = universe().find(exchange, symbol)
    assert found is not None, f"{exchange}:{symbol} is not listed"
    return found


def option(root: str = "NIFTY", exchange: str = "NFO") -> Listing:
    return next(
        x for x in universe().listings if x.root == root and x.exchange == exchange and x.strike_paise
    )


def future(root: str = "NIFTY", exchange: str = "NFO") -> Listing:
    return next(
        x for x in universe().listings if x.root == root and x.exchange == exchange and x.kind.value == "FUT"
    )


def market(of: Listing, at: datetime = NOON) -> Snapshot:
    return prices().snapshot(of, at)
