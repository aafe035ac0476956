"""Smart orders: the table, one at a time for each position, and nothing traded on a position not read."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from brokers.errors import BrokerDown, OutcomeUnknown
from brokers.model import Action, InstrumentKey, OrderStatus, PriceType
from gateway.api import smart
from gateway.api.smart import MATCHED, NOTHING_OPEN, Trade, plan
from gateway.trading import exits, moving
from tests.gateway.api.rig import SBIN, Rig, position, running
from tests.gateway.api.simrig import SimRig, sdk, until

SMART = {"strategy": "tv", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "product": "MIS"}


def ask(rig: Rig | SimRig, target: object, quantity: object = 0, **changes: object):
    body = {**SMART, "quantity": quantity, "position_size": target, **changes}
    return rig.post("placesmartorder", **body)


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """A broker that fills at once and shows the position."""

    def fill() -> list:
        return [replace(o, status=OrderStatus.COMPLETE, filled_quantity=o.quantity) for o in book.values()]

    book = rig.rest.book
    rig.rest.orders = fill  # type: ignore[method-assign]
    return rig


# -- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "held", "action", "quantity", "wanted"),
    [
        (0, 0, "SELL", 7, Trade(Action.SELL, 7)),
        (0, 0, "BUY", 7, Trade(Action.BUY, 7)),
        (0, 0, "BUY", 0, NOTHING_OPEN),
        (90, 90, "BUY", 5, MATCHED),
        (-90, -90, "BUY", 0, MATCHED),
        (0, 40, "BUY", 7, Trade(Action.SELL, 40)),
        (0, -40, "SELL", 7, Trade(Action.BUY, 40)),
        (60, 0, "SELL", 1, Trade(Action.BUY, 60)),
        (-60, 0, "BUY", 1, Trade(Action.SELL, 60)),
        (90, 60, "SELL", 1, Trade(Action.BUY, 30)),
        (60, -40, "SELL", 1, Trade(Action.BUY, 100)),
        (-60, 40, "BUY", 1, Trade(Action.SELL, 100)),
        (-90, -60, "BUY", 1, Trade(Action.SELL, 30)),
        (30, 90, "BUY", 1, Trade(Action.SELL, 60)),
        (-30, -90, "SELL", 1, Trade(Action.BUY, 60)),
    ],
)
def test_the_first_matching_row_decides(target, held, action, quantity, wanted):
    assert plan(target, held, Action(action), quantity) == wanted


@pytest.mark.parametrize(
    ("target", "held", "reduces"),
    [(0, 10, True), (5, 10, True), (-5, -10, True), (-5, 10, False), (15, 10, False), (5, 0, False)],
)
def test_an_exit_only_reduces(target, held, reduces):
    assert smart.only_reduces(target, held) is reduces


def test_the_two_answers_without_an_order_are_success_without_an_orderid(rig):
    answer = ask(rig, 0)
    assert (answer.status_code, answer.json) == (200, {"status": "success", "message": NOTHING_OPEN})
    rig.rest.position_rows = [position(SBIN, 10)]
    answer = ask(rig, "10", 3)
    assert (answer.status_code, answer.json) == (200, {"status": "success", "message": MATCHED})
    assert rig.rest.placed == []


def test_only_exactly_this_symbol_exchange_and_product_counts(rig):
    other = next(row.key for row in rig.source.rows if row.key.symbol == "TCS")
    rig.rest.position_rows = [position(SBIN, 99, "CNC"), position(other, 77), position(SBIN, -40)]
    assert ask(rig, 60).json == {"status": "success", "orderid": "261120000000001"}
    order = rig.rest.placed[0][0]
    assert (order.action, order.quantity, order.product, order.key) == ("BUY", 100, "MIS", SBIN)


@pytest.mark.parametrize(("size", "sold"), [("-3.9", 3), (-3.9, 3), ("-3", 3), ("-3.0", 3)])
def test_a_decimal_position_size_is_truncated_towards_zero(rig, size, sold):
    assert ask(rig, size, "1").status_code == 200
    order = rig.rest.placed[0][0]
    assert (order.action, order.quantity) == ("SELL", sold)


def test_price_fields_carry_over_and_the_price_type_is_honoured(rig):
    rig.rest.position_rows = [position(SBIN, 10)]
    ask(rig, 0, pricetype="SL", price="790.05", trigger_price="795", disclosed_quantity="5")
    order = rig.rest.placed[0][0]
    assert (order.price_type, order.price, order.trigger_price) == (PriceType.SL, Decimal("790.05"), 795)
    assert (order.action, order.disclosed_quantity) == ("SELL", 5)


def test_a_disclosed_quantity_is_cut_to_what_is_left_to_trade(rig):
    rig.rest.position_rows = [position(SBIN, 10)]
    assert ask(rig, 8, 100, disclosed_quantity="50").status_code == 200
    order = rig.rest.placed[0][0]
    assert (order.quantity, order.disclosed_quantity) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position_size": "many"}, "{'position_size': ['Not a valid number.']}"),
        ({"quantity": -1}, "Quantity must be a non-negative number."),
        ({"quantity": "1.5"}, "Fractional quantity (1.5) is not allowed for non-crypto exchanges."),
        ({"target": 5}, "{'target': ['Unknown field.']}"),
        ({"underlying_ltp": 5}, "{'underlying_ltp': ['Unknown field.']}"),
    ],
)
def test_a_bad_field_is_named_in_the_v1_style(quiet, changes, words):
    answer = quiet.post("placesmartorder", **{**SMART, "quantity": 1, "position_size": 1, **changes})
    assert answer.status_code == 400
    assert words in answer.json["message"]


def test_position_size_is_required(quiet):
    answer = quiet.post("placesmartorder", **SMART, quantity=1)
    assert answer.json["message"] == "{'position_size': ['Missing data for required field.']}"


# -- what must not happen ----------------------------------------------------------------------------------


def test_positions_that_cannot_be_read_trade_nothing_and_the_error_says_so(rig):
    rig.rest.fail["positions"] = [BrokerDown("could not connect")]
    answer = ask(rig, 0, 5)
    assert (answer.status_code, answer.json["code"]) == (503, "BROKER_DISCONNECTED")
    assert "nothing was traded" in answer.json["message"]
    assert rig.rest.placed == []


def test_the_position_is_read_anew_each_time(rig):
    reads = rig.rest.calls.count("positions")
    rig.rest.position_rows = [position(SBIN, 5)]
    assert ask(rig, 5).json["message"] == MATCHED
    rig.rest.position_rows = []
    assert "orderid" in ask(rig, 5).json
    assert rig.rest.calls.count("positions") == reads + 2


def test_alerts_at_the_same_moment_do_not_double_the_position(filled):
    """The broker shows a fill only with the next reading of its book; the second alert waits for it."""
    rest = filled.rest
    inside, most, lock = 0, 0, threading.Lock()

    def positions() -> list:
        nonlocal inside, most
        with lock:
            inside, most = inside + 1, max(most, inside + 1)
        threading.Event().wait(0.02)
        rows = [position(SBIN, sum(order.quantity for order, _, _ in rest.placed))] if rest.placed else []
        with lock:
            inside -= 1
        return rows

    rest.positions = positions
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(filled, 10).json, range(4)))
    assert sum("orderid" in answer for answer in answers) == len(rest.placed) == 1
    assert sum(answer.get("message") == MATCHED for answer in answers) == 3
    assert most == 1
    # the book showed it as complete: it was not waited for until it counted as resting
    assert not any("working_orders" in answer for answer in answers)


def test_a_turn_that_does_not_come_is_refused_and_other_positions_do_not_wait(filled):
    rules = replace(filled.parts.settings.trading, order_deadline_s=0.05, broker_timeout_s=0.05)
    object.__setattr__(filled.parts.settings, "trading", rules)
    with filled.parts.desk.turns.take((SBIN, "MIS"), 1):
        answer = ask(filled, 10)
        assert (answer.status_code, answer.json["code"]) == (429, "RATE_LIMITED")
        assert ask(filled, 10, product="CNC").status_code == 200
        assert ask(filled, 10, symbol="TCS").status_code == 200
    assert ask(filled, 10).status_code == 200


def test_an_unknown_outcome_on_the_position_blocks_the_next_smart_order(rig, monkeypatch):
    monkeypatch.setattr(moving, "FILL_WAIT_S", 0.1)
    rig.rest.fail["place"] = [OutcomeUnknown("no answer")]
    rig.rest.fail["find_tag"] = [BrokerDown("down") for _ in range(50)]
    assert ask(rig, 10).status_code == 504
    answer = ask(rig, 10)
    assert (answer.status_code, answer.json["code"]) == (503, "NOT_READY")
    assert "could double it" in answer.json["message"]
    assert "could not be read" not in answer.json["message"]
    assert ask(rig, 10, symbol="TCS").status_code == 200
    assert rig.rest.calls.count("place") == 2


def test_a_resting_order_is_no_position_but_is_told(rig):
    first = ask(rig, 10, pricetype="LIMIT", price="700.05").json["orderid"]
    answer = ask(rig, 0)
    assert answer.json == {"status": "success", "message": NOTHING_OPEN, "working_orders": [first]}


def test_a_market_exit_passes_a_block_and_an_entry_does_not(rig):
    rig.parts.desk.guards.panic("panic", "block")
    rig.rest.position_rows = [position(SBIN, 10)]
    assert ask(rig, -5).json["code"] == "ENTRIES_BLOCKED"
    assert ask(rig, 4).status_code == 200
    assert rig.rest.placed[0][0].quantity == 6


def test_a_resting_exit_does_not_keep_close_all_from_closing(rig):
    rig.rest.position_rows = [position(SBIN, 10)]
    ask(rig, 0, pricetype="LIMIT", price="900.05")
    assert rig.post("closeposition").json["closed_positions"][0]["quantity"] == 10


def test_a_market_exit_on_its_way_is_not_sent_again_by_close_all(rig):
    rig.rest.position_rows = [position(SBIN, 10)]
    ask(rig, 0)
    assert rig.post("closeposition").json["closed_positions"] == []
    assert len(rig.rest.placed) == 1


def test_close_all_waits_for_a_smart_order_on_the_same_position(filled):
    """Each works its order out from the position; the second must see what the first one did to it."""
    filled.rest.position_rows = [position(SBIN, 10)]
    inside, go = threading.Event(), threading.Event()

    def slow(call: str) -> None:
        if call == "place" and not inside.is_set():
            inside.set()
            assert go.wait(5)
            filled.rest.position_rows = [position(SBIN, -5)]

    filled.rest.before = slow
    with ThreadPoolExecutor(2) as pool:
        turned = pool.submit(ask, filled, -5)
        assert inside.wait(5)
        closing = pool.submit(filled.post, "closeposition")
        until(lambda: filled.rest.calls.count("positions") >= 3)
        go.set()
        assert turned.result(10).status_code == 200
        assert closing.result(10).json["status"] == "success"
    assert [(o.action, o.quantity) for o, _, _ in filled.rest.placed] == [("SELL", 15), ("BUY", 5)]


def test_close_all_says_of_a_position_whose_turn_does_not_come_that_it_is_open(rig, monkeypatch):
    monkeypatch.setattr(exits, "DEADLINE_S", 0.2)
    rig.rest.position_rows = [position(SBIN, 10), position(InstrumentKey("NSE", "TCS"), -5)]
    with rig.parts.desk.turns.take((SBIN, "MIS"), 1):
        answer = rig.post("closeposition").json
    assert answer["status"] == "partial"
    assert [row["symbol"] for row in answer["closed_positions"]] == ["TCS"]
    assert [(row["position"], row["code"]) for row in answer["failed_closures"]] == [
        ("NSE:SBIN MIS", "RATE_LIMITED")
    ]


def test_close_all_waits_for_the_fill_of_an_entry_sent_a_moment_ago(rig):
    order_id = ask(rig, 10).json["orderid"]

    def fill(call: str) -> None:
        if call == "orders":
            row = rig.rest.book[order_id]
            rig.rest.book[order_id] = replace(row, status=OrderStatus.COMPLETE, filled_quantity=10)
            rig.rest.position_rows = [position(SBIN, 10)]

    rig.rest.before = fill
    assert [row["quantity"] for row in rig.post("closeposition").json["closed_positions"]] == [10]


def test_a_repeat_gets_the_first_answer_although_the_position_has_moved(filled):
    first = ask(filled, 10, client_order_id="alert-1")
    filled.rest.position_rows = [position(SBIN, 10)]
    again = ask(filled, 10, client_order_id="alert-1")
    assert again.json["orderid"] == first.json["orderid"]
    assert again.json["repeated"] is True
    other = ask(filled, 10, client_order_id="alert-1", symbol="TCS")
    assert (other.status_code, other.json["code"]) == (400, "CLIENT_ORDER_ID_REUSED")
    assert len(filled.rest.placed) == 1


def test_the_smart_limit_is_its_own(tmp_path):
    from tests.gateway.api.rig import FREE

    with running(tmp_path, rates=replace(FREE, smart_order="2 per minute")) as rig:
        assert [ask(rig, 0).status_code for _ in range(3)] == [200, 200, 429]
        assert rig.place().status_code == 200


# -- against the simulated brokers -------------------------------------------------------------------------


def test_through_the_table_on_a_simulated_broker(broker):
    for target in (40, -60, -90, -90, 30, 0):
        answer = ask(broker, target, symbol="RELIANCE")
        assert answer.status_code == 200, answer.json
        assert ("orderid" in answer.json) is (answer.json.get("message") != MATCHED)
    # a second alert waits until the first one's fill shows, so this reads the final position
    assert ask(broker, 0, symbol="RELIANCE").json["message"] == NOTHING_OPEN
    assert broker.held("RELIANCE") == 0
    rows = [(row["side"], row["quantity"]) for row in broker.seen("RELIANCE")]
    assert rows == [("BUY", 40), ("SELL", 100), ("SELL", 30), ("BUY", 120), ("SELL", 30)]


def test_many_equal_alerts_make_one_order_on_a_simulated_broker(broker):
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: ask(broker, 10, symbol="TCS"), range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(broker.seen("TCS")) == 1
    assert broker.held("TCS") == 10


@pytest.mark.client
def test_the_sdk_sends_smart_orders(broker):
    terms = {"strategy": "sdk", "symbol": "INFY", "exchange": "NSE", "price_type": "MARKET", "product": "MIS"}
    placed, matched = sdk(
        broker,
        ("placesmartorder", {**terms, "action": "BUY", "quantity": 1, "position_size": 7}),
        ("placesmartorder", {**terms, "action": "BUY", "quantity": 1, "position_size": 7}),
    )
    assert placed["status"] == matched["status"] == "success"
    assert placed["orderid"]
    assert matched == {"status": "success", "message": MATCHED}
