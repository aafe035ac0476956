"""What Dhan takes, refuses and turns into something else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from brokers.sim.dhan import policy
from brokers.sim.dhan.errors import Refused
from brokers.sim.exchange.types import Side, Type
from tests.brokers.sim.dhan import world

ACCOUNT = "1100000001"


def body(**changes: Any) -> dict[str, Any]:
    """A limit order as the official client sends it, with changes; None takes a key away."""
    order = {
        "dhanClientId": ACCOUNT,
        "transactionType": "BUY",
        "exchangeSegment": "NSE_EQ",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": "3045",
        "quantity": 5,
        "disclosedQuantity": 0,
        "price": Decimal("961.5"),
        "afterMarketOrder": False,
        "boProfitValue": None,
        "boStopLossValue": None,
        "triggerPrice": Decimal("0.0"),
    } | changes
    return {key: value for key, value in order.items() if value is not None or key.startswith("bo")}


def test_an_order_of_the_official_client_is_read() -> None:
    ask = policy.read_order(body(correlationId="my-order_1 x"), ACCOUNT)
    assert (ask.side, ask.segment, ask.security_id, ask.product) == (Side.BUY, "NSE_EQ", 3045, "INTRADAY")
    assert ask.terms.price == Decimal("961.5")
    assert ask.correlation_id == "my-order_1 x"


@pytest.mark.parametrize(
    "changes",
    [
        {"dhanClientId": "1100000002"},
        {"dhanClientId": None},
        {"transactionType": "buy"},
        {"exchangeSegment": "NSE"},
        {"productType": "MIS"},
        {"productType": "BO"},
        {"orderType": "SL"},
        {"validity": "GTC"},
        {"securityId": ""},
        {"securityId": "SBIN"},
        {"quantity": 0},
        {"quantity": ""},
        {"quantity": Decimal("1.5")},
        {"quantity": None},
        {"price": ""},
        {"price": Decimal(0)},
        {"price": Decimal(-1)},
        {"orderType": "STOP_LOSS"},  # without a trigger
        {"orderType": "MARKET"},  # with a price
        {"disclosedQuantity": 1},  # under 30 %
        {"correlationId": "x" * 26},
        {"correlationId": "no/slash"},
        {"afterMarketOrder": "false"},
        {"afterMarketOrder": True},  # without amoTime
    ],
    ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items()),
)
def test_a_bad_body_is_dh_905(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        policy.read_order(body(**changes), ACCOUNT)
    assert (refused.value.code, refused.value.http) == ("DH-905", 400)
    assert refused.value.body()["errorType"] == "Input_Exception"


def test_25_characters_of_correlation_id_are_taken() -> None:
    assert policy.read_order(body(correlationId="x" * 25), ACCOUNT).correlation_id == "x" * 25


def terms(order_type: str, price: str = "0", trigger: str = "0") -> policy.Terms:
    return policy.Terms(order_type, 5, Decimal(price), Decimal(trigger), 0, "DAY")


@pytest.mark.parametrize(
    ("ltp", "side", "price"),
    [
        (5_000, Side.BUY, "51.00"),  # 2 % below 100
        (20_000, Side.SELL, "198.00"),  # 1 % below 500
        (96_500, Side.BUY, "969.80"),  # 0.5 %: 969.825, floored to the tick
        (96_500, Side.SELL, "960.20"),  # 960.175, inward again
    ],
)
def test_a_market_order_becomes_a_limit_with_a_protective_price(ltp: int, side: Side, price: str) -> None:
    sbin = replace(world.listing("NSE", "SBIN"), tick_paise=5)
    market = replace(
        world.market(sbin), listing=sbin, ltp_paise=ltp, lower_circuit_paise=5, upper_circuit_paise=10**7
    )
    sent = policy.protect(terms("MARKET"), side, market)
    assert sent == policy.Sent(Type.LIMIT, Decimal(price), Decimal(0))


def test_the_bands_of_options_are_wider() -> None:
    option = world.option()
    market = replace(world.market(option), ltp_paise=900, lower_circuit_paise=5, upper_circuit_paise=10**7)
    assert policy.protected_price(Side.BUY, market) == Decimal("9.45")


def test_protection_stays_within_the_circuit_limits() -> None:
    sbin = world.listing("NSE", "SBIN")
    market = replace(
        world.market(sbin), ltp_paise=96_500, lower_circuit_paise=96_400, upper_circuit_paise=96_600
    )
    assert policy.protected_price(Side.BUY, market) == Decimal(966)
    assert policy.protected_price(Side.SELL, market) == Decimal(964)


def test_a_stop_loss_market_sale_goes_out_as_a_limit_at_95_percent_of_its_trigger() -> None:
    market = world.market(world.listing("NSE", "SBIN"))
    sent = policy.protect(terms("STOP_LOSS_MARKET", trigger="900"), Side.SELL, market)
    assert sent == policy.Sent(Type.LIMIT, Decimal(855), Decimal(0))


@pytest.mark.parametrize(
    ("side", "asked", "text"),
    [
        (Side.BUY, terms("STOP_LOSS_MARKET", trigger="900"), policy.STOP_MESSAGE),
        (Side.SELL, terms("STOP_LOSS", "901", "900"), policy.STOP_MESSAGE),
        (Side.BUY, terms("STOP_LOSS", "899", "900"), "Trigger Price should be less than Price"),
    ],
)
def test_a_stop_on_the_wrong_side_is_dh_906(side: Side, asked: policy.Terms, text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        policy.protect(asked, side, world.market(world.listing("NSE", "SBIN")))
    assert refused.value.code == "DH-906"


def test_a_stop_loss_keeps_its_price_and_trigger() -> None:
    market = world.market(world.listing("NSE", "SBIN"))
    sent = policy.protect(terms("STOP_LOSS", "899", "900"), Side.SELL, market)
    assert sent == policy.Sent(Type.STOP_LIMIT, Decimal(899), Decimal(900))


@pytest.mark.parametrize(("product", "exchange"), [("CNC", "NFO"), ("MTF", "NFO"), ("MARGIN", "NSE")])
def test_a_product_of_the_other_segment_is_dh_905(product: str, exchange: str) -> None:
    listing = world.option() if exchange == "NFO" else world.listing("NSE", "SBIN")
    with pytest.raises(Refused, match="Product type") as refused:
        policy.check_product(product, listing)
    assert refused.value.code == "DH-905"
