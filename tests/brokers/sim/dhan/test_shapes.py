"""Rows from the exchange's values, where a live run does not reach."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.sim.dhan import ids, shapes
from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.updates import update
from brokers.sim.exchange.types import (
    Kind,
    Listing,
    NewOrder,
    Side,
    SimCandle,
    SimFunds,
    SimOrder,
    SimPosition,
    Status,
    Type,
)
from tests.brokers.sim.dhan import world


class Everything(Directory):
    """A directory that knows any listing by its token."""

    def id(self, listing: Listing) -> int:
        return listing.token


@pytest.fixture
def directory() -> Directory:
    return Everything(world.universe())


@pytest.fixture
def crude() -> Listing:
    """A commodity future of 100 barrels, which Dhan counts in lots."""
    return replace(
        world.future(),
        exchange="MCX",
        root="CRUDEOIL",
        symbol="CRUDEOIL19OCT26FUT",
        lot_size=100,
        token=910045,
    )


def order(listing: Listing, **changes: object) -> SimOrder:
    new = NewOrder(
        "1100000001", listing, Side.SELL, Type.STOP_LIMIT, "NRML", 300, Decimal("6100"), Decimal("6101")
    )
    made = SimOrder("1", new, Status.PARTIAL, world.NOON, world.NOON, filled=100, average=Decimal("6100.5"))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_commodities_are_counted_in_lots(crude: Listing, directory: Directory) -> None:
    row = shapes.order_row(order(crude), directory)
    assert (row["quantity"], row["filledQty"], row["remainingQuantity"]) == (3, 1, 2)
    assert (row["exchangeSegment"], row["orderStatus"], row["orderType"]) == (
        "MCX_COMM",
        "PART_TRADED",
        "STOP_LOSS",
    )
    assert ids.trading_symbol(crude) == f"CRUDEOIL-{crude.expiry:%d%b%Y}-FUT"
    message = update(order(crude), None, directory, 6100.0)
    assert (message["Quantity"], message["TradedQty"], message["Multiplier"]) == (3, 1, 100)
    assert (message["OrderType"], message["Status"], message["Segment"]) == ("SL", "Part_Traded", "M")


def test_a_rejection_tells_its_reason_and_nothing_else_does(directory: Directory) -> None:
    sbin = world.listing("NSE", "SBIN")
    rejected = shapes.order_row(order(sbin, status=Status.REJECTED, reason="RMS says no"), directory)
    assert (rejected["omsErrorCode"], rejected["omsErrorDescription"]) == ("1", "RMS says no")
    assert rejected["exchangeTime"] == "0001-01-01 00:00:00"
    open_ = shapes.order_row(order(sbin, accepted_at=world.NOON), directory)
    assert (open_["omsErrorCode"], open_["omsErrorDescription"]) == ("0", "CONFIRMED")
    assert open_["exchangeTime"] == "2026-09-16 12:00:00"


def test_an_option_carries_its_contract(directory: Directory) -> None:
    option = world.option()
    row = shapes.contract(option)
    assert row["drvExpiryDate"] == str(option.expiry)
    assert row["drvOptionType"] == ("CALL" if option.kind is Kind.CALL else "PUT")
    assert row["drvStrikePrice"] == option.strike_paise / 100
    assert shapes.contract(world.future())["drvOptionType"] == "NA"
    assert shapes.contract(world.listing("NSE", "SBIN"))["drvOptionType"] is None


def test_a_short_position_has_its_profit_and_its_carried_part(directory: Directory) -> None:
    sbin = world.listing("NSE", "SBIN")
    position = SimPosition(
        sbin,
        "MIS",
        buy_qty=4,
        sell_qty=6,
        buy_value=Decimal(4 * 90),
        sell_value=Decimal(6 * 100),
        carry_sell_qty=4,
        carry_sell_value=Decimal(4 * 100),
    )
    row = shapes.position_row(position, "1100000001", directory, 9_500)
    assert (row["positionType"], row["netQty"], row["sellQty"], row["daySellQty"]) == ("SHORT", -6, 10, 6)
    assert (row["buyAvg"], row["sellAvg"], row["costPrice"]) == (90.0, 100.0, 100.0)
    assert (row["realizedProfit"], row["unrealizedProfit"]) == (40.0, 30.0)
    assert row["carryForwardSellQty"] == 4


def test_the_balance_includes_collateral(directory: Directory) -> None:
    funds = SimFunds(Decimal(900), Decimal(500), Decimal(400), Decimal(250), Decimal(0), Decimal(0))
    row = shapes.fund_row("1100000001", funds)
    assert (row["availabelBalance"], row["collateralAmount"], row["utilizedAmount"]) == (750.0, 250.0, 400.0)
    assert row["withdrawableBalance"] == 500.0


def test_open_interest_of_candles_comes_on_request() -> None:
    candle = SimCandle(datetime(2026, 9, 16, 3, 45, tzinfo=UTC), 100, 120, 90, 110, 7, 42)
    assert shapes.candles_body([candle], daily=False, oi=False)["open_interest"] == [0.0]
    body = shapes.candles_body([candle], daily=True, oi=True)
    assert body["open_interest"] == [42.0]
    assert body["timestamp"] == [datetime(2026, 9, 15, 18, 30, tzinfo=UTC).timestamp()]
    assert (body["open"], body["high"], body["low"], body["close"], body["volume"]) == (
        [1.0],
        [1.2],
        [0.9],
        [1.1],
        [7.0],
    )
