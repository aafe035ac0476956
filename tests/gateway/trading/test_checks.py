"""What the exchange would refuse is refused here, with the reason and what would do (O8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers import dhan
from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.errors import InvalidRequest
from brokers.model import Action, InstrumentKey, PriceType, Product
from gateway.trading.checks import Around, check
from tests.gateway.store.rows import NOV, index, market
from tests.gateway.trading.desks import at, request

BY_KEY = {i.key: i for i in market()}
OPTION = InstrumentKey("NFO", "NIFTY24NOV2624000CE")
OPEN = Around(
    dhan.SPEC.capabilities.exchanges, AlwaysOpen(), at(5), lambda symbol, exchange: ["SBIN", "INFY"]
)
BUY_STOP = {"price_type": PriceType.SL, "trigger_price": Decimal(800), "price": Decimal(801)}


def option(**more):
    given = {"key": OPTION, "product": Product.NRML, "quantity": 65, "price": Decimal("120.05")}
    return request(**{**given, **more})


def refusal(order, around=OPEN, instrument=None):
    with pytest.raises(InvalidRequest) as caught:
        check(order, instrument or BY_KEY.get(order.key), around)
    assert caught.value.fields
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    "order",
    [
        request(),
        request(price_type=PriceType.MARKET, price=Decimal(0)),
        request(price_type=PriceType.MARKET, price=Decimal("1.2345")),  # not used, not sent
        request(product=Product.CNC),
        request(**BUY_STOP),
        request(price_type=PriceType.SL_M, trigger_price=Decimal(800), price=Decimal(0)),
        request(quantity=100_000),
        option(),
        option(quantity=1755),
        option(product=Product.MIS),
    ],
)
def test_a_good_order_passes(order):
    assert check(order, BY_KEY[order.key], OPEN) is BY_KEY[order.key]


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        (request(key=InstrumentKey("NSE", "SBIM")), "SYMBOL_NOT_FOUND", "Nearest: SBIN, INFY"),
        (request(key=InstrumentKey("NSE_INDEX", "NIFTY")), "NOT_TRADABLE", "quotes, but no orders"),
        (request(key=InstrumentKey("CRYPTO", "BTCINR")), "NOT_TRADABLE", "no orders on CRYPTO"),
        (request(quantity=0), "INVALID_QUANTITY", "more than 0"),
        (request(quantity=-5), "INVALID_QUANTITY", "more than 0"),
        (option(quantity=66), "INVALID_QUANTITY", "lot of NIFTY24NOV2624000CE, 65; nearest: 65 or 130"),
        (option(quantity=10), "INVALID_QUANTITY", "nearest: 65"),
        (option(quantity=1820), "FREEZE_QUANTITY", "largest order of 1755"),
        (request(disclosed_quantity=6), "INVALID_QUANTITY", "expected 0 to 5"),
        (request(price=Decimal("800.07")), "PRICE_OUT_OF_RANGE", "nearest: 800.05 or 800.10"),
        (request(price=Decimal(0)), "PRICE_OUT_OF_RANGE", "needs a price"),
        (request(price=Decimal(-1)), "PRICE_OUT_OF_RANGE", "above 0"),
        (request(price=Decimal("NaN")), "PRICE_OUT_OF_RANGE", "above 0"),
        (request(price_type=PriceType.SL_M), "PRICE_OUT_OF_RANGE", "needs a trigger_price"),
        (request(**{**BUY_STOP, "trigger_price": Decimal("800.01")}), "PRICE_OUT_OF_RANGE", "tick of"),
        (request(**{**BUY_STOP, "price": Decimal(799)}), "INVALID_TRIGGER", "at or above the trigger 800"),
        (request(**BUY_STOP, action=Action.SELL), "INVALID_TRIGGER", "at or below the trigger 800"),
        (request(product=Product.NRML), "INVALID_PRODUCT", "takes CNC or MIS"),
        (option(product=Product.CNC), "INVALID_PRODUCT", "takes NRML or MIS"),
    ],
)
def test_a_bad_order_is_refused_with_the_reason(order, code, words):
    found, message = refusal(order)
    assert found == code
    assert words in message


@pytest.mark.parametrize(
    ("action", "last", "refused"),
    [
        (Action.BUY, 800.0, True),
        (Action.BUY, 799.95, False),
        (Action.SELL, 800.0, True),
        (Action.SELL, 800.05, False),
        (Action.BUY, None, False),
    ],
)
def test_a_stop_waits_on_its_own_side_of_the_market(action, last, refused):
    order = request(action=action, price_type=PriceType.SL_M, trigger_price=Decimal(800), price=Decimal(0))
    around = replace(OPEN, last_price=last)
    if refused:
        assert refusal(order, around)[0] == "INVALID_TRIGGER"
    else:
        check(order, BY_KEY[order.key], around)


def test_an_expired_contract_is_refused_on_the_day_after():
    last_day = datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert last_day.date() == NOV
    check(option(), BY_KEY[OPTION], replace(OPEN, now=last_day))
    code, message = refusal(option(), replace(OPEN, now=last_day.replace(day=25)))
    assert (code, "24-Nov-2026" in message) == ("SYMBOL_EXPIRED", True)
    gone = replace(BY_KEY[InstrumentKey("NSE", "SBIN")], expired=True)
    assert refusal(request(), OPEN, gone) == ("SYMBOL_EXPIRED", "NSE:SBIN expired, it is no longer listed")


def test_an_index_row_under_a_cash_exchange_is_not_tradable():
    assert refusal(request(), OPEN, index("SBIN", "1"))[0] == "NOT_TRADABLE"


@pytest.mark.parametrize(
    ("now", "open_now"),
    [
        (datetime(2026, 11, 20, 3, 44, tzinfo=UTC), False),  # 09:14 IST on a Friday
        (datetime(2026, 11, 20, 3, 45, tzinfo=UTC), True),
        (datetime(2026, 11, 20, 9, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 20, 10, 0, tzinfo=UTC), False),  # 15:30 IST
        (datetime(2026, 11, 21, 5, 0, tzinfo=UTC), False),  # Saturday
    ],
)
def test_the_market_is_open_by_the_calendar(now, open_now):
    around = replace(OPEN, calendar=FileCalendar(), now=now)
    if open_now:
        check(request(), BY_KEY[request().key], around)
    else:
        code, message = refusal(request(), around)
        assert code == "MARKET_CLOSED"
        assert "IST" in message
