"""The REST half that brokers share: what is sent, how often, and what an answer without a number means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from brokers import protection, registry
from brokers.clock import SystemClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.errors import InvalidRequest, OutcomeUnknown
from brokers.jsoncalls import Dialect
from brokers.model import (
    Action,
    Candle,
    Instrument,
    InstrumentKey,
    OrderRequest,
    PriceType,
    Product,
    Quote,
    SentTerms,
)
from brokers.plainrest import PlainRest
from brokers.reasons import Refusal
from brokers.transport import Reply, Transport

NOW = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
SBIN = Instrument(InstrumentKey("NSE", "SBIN"), "1", "E", "SBIN", "SBIN", "EQ", 1, Decimal("0.05"))
ORDER = OrderRequest(SBIN.key, Action.BUY, 1, PriceType.MARKET, Product.MIS)
ANY = registry.spec("dhan")
CAN = replace(ANY.capabilities, quote_batch=2, history_days={"1m": 2, "D": 10})


class Canned(Transport):
    """Answers every call with one body, and keeps what was asked."""

    def __init__(self, said: object) -> None:
        self.asked: list[tuple[str, str]] = []
        self._reply = Reply(200, {}, json.dumps(said).encode(), 1, 2)

    def send(self, method: str, url: str, **rest: Any) -> Reply:
        self.asked.append((method, url.removeprefix("http://x")))
        return self._reply

    fetch = send


def terms(price_type: PriceType, price: Decimal, trigger: Decimal, action: Action, _: object) -> SentTerms:
    return protection.terms(price_type, price, trigger, lambda at: at)


def quotes(data: Any, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
    return {one.key: data for one in instruments}


def candles(body: bytes, interval: str, start: date, end: date) -> list[Candle]:
    return [Candle(day, 0.0, 0.0, 0.0, 0.0, 0) for day in range(start.day, end.day + 1)]


class Rest(PlainRest):
    spec = replace(ANY, capabilities=CAN)
    dialect = Dialect("Acme", lambda session: {}, lambda data: Refusal("", ""))
    quote_spacing_s, history_spacing_s = 1.5, 0.5
    order_mapping: Any = SimpleNamespace(
        terms=terms,
        place_body=lambda *_: {},
        order_id=lambda data: str(data.get("id", "")),
        order=lambda row, lookup: SimpleNamespace(tag=row["tag"]),
    )
    market_mapping: Any = SimpleNamespace(
        quote_body=lambda some: {}, quotes=quotes, history_path=lambda one, word, a, b: f"/h?{a}:{b}"
    )
    history_mapping: Any = SimpleNamespace(candles=candles, says_empty=lambda status, body: False)


def rest(said: object) -> tuple[Rest, list[tuple[str, str]], list[float]]:
    slept: list[float] = []
    canned = Canned(said)
    context = BrokerContext({}, {"rest": "http://x"}, {}, SystemClock(), None)  # type: ignore[arg-type]
    session = BrokerSession("acme", "1", {}, {}, NOW, NOW)
    return Rest(context, lambda: session, canned, slept.append), canned.asked, slept


def test_a_new_order_without_a_number_is_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="without naming its number"):
        rest({})[0].place(ORDER, SBIN, "t", ltp=None)
    assert rest({"id": 7})[0].place(ORDER, SBIN, "t", ltp=None).order_id == "7"


def test_a_cancel_needs_no_number_and_its_path_is_one_segment() -> None:
    one, asked, _ = rest({})
    one.cancel("a/b ?")
    assert asked == [("DELETE", "/orders/a%2Fb%20%3F")]


def test_only_orders_with_exactly_the_tag_are_evidence() -> None:
    one, _, _ = rest([{"tag": "T1"}, {"tag": "T12"}, {"tag": ""}])
    assert [found.tag for found in one.find_tag("T1")] == ["T1"]


def test_quotes_go_out_in_batches_with_a_wait_between_them() -> None:
    one, asked, slept = rest({})
    some = [replace(SBIN, key=InstrumentKey("NSE", str(number))) for number in range(5)]
    assert len(one.quotes(some)) == 5
    assert (len(asked), slept) == (3, [1.5, 1.5])


def test_history_is_cut_by_days_with_a_wait_between_the_pieces() -> None:
    one, asked, slept = rest({})
    found = one.candles(SBIN, "1m", date(2026, 1, 5), date(2026, 1, 9))
    assert [candle.opened_at_s for candle in found] == [5, 6, 7, 8, 9]
    assert (len(asked), slept) == (3, [0.5, 0.5])


def test_margin_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one order"):
        rest({})[0].margin([])


@pytest.mark.parametrize(
    ("action", "trigger", "price"),
    [
        (Action.BUY, "100", "101"),
        (Action.SELL, "100", "99"),
        (Action.BUY, "1", "1.05"),
        (Action.SELL, "0.05", "0.05"),
    ],
)
def test_a_protective_price_is_on_a_tick_and_at_least_one_away(
    action: Action, trigger: str, price: str
) -> None:
    assert protection.beyond(action, Decimal(trigger), Decimal(1), SBIN.tick_size) == Decimal(price)


def test_a_market_stop_needs_a_trigger() -> None:
    with pytest.raises(InvalidRequest, match="trigger"):
        protection.terms(PriceType.SL_M, Decimal(0), Decimal(0), lambda at: at)


def test_no_percentage_still_leaves_a_tick() -> None:
    assert protection.beyond(Action.BUY, Decimal(100), Decimal(0), SBIN.tick_size) == Decimal("100.05")
    assert protection.beyond(Action.SELL, Decimal(100), Decimal(0), SBIN.tick_size) == Decimal("99.95")
