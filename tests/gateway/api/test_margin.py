"""Margin of new orders: the broker's figure, in OpenAlgo's fields."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.contract import Margin, MarginLeg
from brokers.errors import BrokerDown, LoginRequired, NotSupported
from brokers.model import InstrumentKey
from tests.gateway.api.rig import Rig
from tests.gateway.api.simrig import SimRig, sdk

D = Decimal
POSITION = {
    "symbol": "SBIN",
    "exchange": "NSE",
    "action": "BUY",
    "product": "MIS",
    "pricetype": "LIMIT",
    "quantity": "10",
    "price": "800.05",
}


@pytest.fixture
def asked(rig: Rig) -> list[list[MarginLeg]]:
    """What the broker was asked; it answers 1,000 and some for each order, and knows no hedge benefit."""
    calls: list[list[MarginLeg]] = []

    def margin(legs: list[MarginLeg]) -> Margin:
        rig.rest._called("margin")
        calls.append(list(legs))
        return Margin(D("1000.005") * len(legs), D("600.5"), D("400"))

    rig.rest.margin = margin  # type: ignore[attr-defined]
    return calls


def ask(rig: Rig | SimRig, *positions: dict[str, object]):
    return rig.post("margin", positions=list(positions))


@pytest.mark.parametrize("quantity", ["10", 10, "10.0"])
def test_the_fields_are_numbers_and_the_quantity_text_or_number(rig, asked, quantity):
    answer = ask(rig, {**POSITION, "quantity": quantity})
    assert answer.status_code == 200
    data = {"total_margin_required": 1000.0, "span_margin": 600.5, "exposure_margin": 400.0}
    assert answer.json == {"status": "success", "data": data}
    [[leg]] = asked
    assert (leg.order.quantity, leg.order.price, leg.instrument.key.symbol) == (10, D("800.05"), "SBIN")


def test_a_market_order_is_valued_at_the_last_price_or_the_one_given(rig, asked):
    market = {**POSITION, "pricetype": "MARKET"}
    assert ask(rig, {**market, "price": "0"}, {**market, "price": "790"}, POSITION).status_code == 200
    assert [leg.price for leg in asked[0]] == [D("801.5"), D(790), D("800.05")]
    assert rig.rest.quote_calls == [[InstrumentKey("NSE", "SBIN")]]


def test_all_given_prices_need_no_quote(rig, asked):
    ask(rig, POSITION)
    assert rig.rest.quote_calls == []


def test_what_the_broker_does_not_say_is_told(rig, asked):
    rig.rest.margin = lambda legs: Margin(D(5))
    answer = ask(rig, POSITION).json
    assert answer["data"] == {"total_margin_required": 5.0, "span_margin": 0.0, "exposure_margin": 0.0}
    assert "not known" in answer["message"]
    rig.rest.margin = lambda legs: Margin(D(5), D(0), D(0), D("1.25"))
    answer = ask(rig, POSITION).json
    assert answer["data"]["margin_benefit"] == 1.25
    assert "message" not in answer


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (50, 200), (51, 400)])
def test_one_to_fifty_positions(rig, asked, count, status):
    answer = ask(rig, *[POSITION] * count)
    assert answer.status_code == status
    if status == 400:
        assert answer.json["message"] == "{'positions': ['Length must be between 1 and 50.']}"
    assert sum(map(len, asked)) == (count if status == 200 else 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": "0"}, "{'positions': {1: {'quantity': ['Quantity must be a positive number.']}}}"),
        ({"quantity": "1.5"}, "Fractional quantity (1.5)"),
        ({"pricetype": None}, "{'positions': {1: {'pricetype': ['Field may not be null.']}}}"),
        ({"symbol": "S" * 51}, "{'positions': {1: {'symbol': ['Length must be between 1 and 50.']}}}"),
        ({"strategy": "x"}, "{'positions': {1: {'strategy': ['Unknown field.']}}}"),
    ],
)
def test_a_bad_position_is_named_by_its_index(quiet, changes, words):
    answer = ask(quiet, POSITION, POSITION | changes)
    assert answer.status_code == 400
    assert words in answer.json["message"]


def test_a_symbol_nobody_knows_an_index_and_a_broken_lot_are_refused_here(rig, asked):
    future = next(row.key.symbol for row in rig.source.rows if row.key.exchange == "NFO")
    cases = (
        ({"symbol": "SBINN"}, "SYMBOL_NOT_FOUND"),
        ({"symbol": "NIFTY", "exchange": "NSE_INDEX"}, "NOT_TRADABLE"),
        ({"symbol": future, "exchange": "NFO", "product": "NRML", "quantity": 64}, "INVALID_QUANTITY"),
    )
    for changes, code in cases:
        answer = ask(rig, POSITION | changes)
        assert (answer.status_code, answer.json["code"]) == (400, code)
    assert asked == []


@pytest.mark.parametrize("changes", [{"tick_size": D(0)}, {"lot_size": 0}])
def test_what_has_no_tick_or_no_lot_cannot_be_traded(rig, asked, monkeypatch, changes):
    row = replace(rig.parts.market.instrument(InstrumentKey("NSE", "SBIN")), **changes)
    monkeypatch.setattr(rig.parts.market, "instrument", lambda key: row)
    assert ask(rig, POSITION).json["code"] == "NOT_TRADABLE"
    assert asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(BrokerDown("down"), 503), (LoginRequired("expired"), 403), (NotSupported("none here"), 501)],
)
def test_a_failure_is_never_a_zero_margin(rig, asked, error, status):
    rig.rest.fail["margin"] = [error]
    answer = ask(rig, POSITION)
    assert (answer.status_code, answer.json["status"]) == (status, "error")
    assert "data" not in answer.json


# -- against the simulated brokers -------------------------------------------------------------------------


def test_a_simulated_broker_sums_the_orders(broker):
    """Intraday shares block a fifth of their value there."""
    one = ask(broker, POSITION).json["data"]["total_margin_required"]
    assert one == pytest.approx(1600.10)
    market = {**POSITION, "symbol": "NTPC", "pricetype": "MARKET", "price": "0"}
    other = ask(broker, market).json["data"]["total_margin_required"]
    both = ask(broker, POSITION, market).json["data"]["total_margin_required"]
    assert other > 0
    assert both == pytest.approx(one + other, rel=0.02)
    assert broker.seen("SBIN") == []


def test_fifty_positions_pass_the_brokers_own_limits(broker):
    answer = ask(broker, *[POSITION] * 50)
    assert answer.status_code == 200, answer.json
    assert answer.json["data"]["total_margin_required"] == pytest.approx(50 * 1600.10)


@pytest.mark.client
def test_the_sdk_asks_for_margin(broker):
    position = {key: value for key, value in POSITION.items() if key != "price"} | {"pricetype": "MARKET"}
    [answer] = sdk(broker, ("margin", {"positions": [position]}))
    assert answer["status"] == "success", answer
    assert float(answer["data"]["total_margin_required"]) > 0
    assert float(answer["data"]["span_margin"]) == float(answer["data"]["exposure_margin"]) == 0
