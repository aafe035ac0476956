"""The broker's book against the journal: what it teaches, what it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.model import Action, OrderStatus, Position, PriceType, Trade
from gateway.store.journal import JournalRow
from gateway.trading import machine
from gateway.trading.machine import Known, State
from gateway.trading.reconcile import (
    Evidence,
    SettleRules,
    drift,
    fills,
    offsets,
    outstanding,
    plan_orders,
    weigh,
    with_averages,
)
from tests.gateway.trading.desks import SBIN, book_row

S = 1_000_000_000
DAY = 1000 * S
NOW = 5000 * S
TAG = "ABCDEFGHIJKLMNOP"


def row(number: int = 1, state: State = State.OPEN, order_id: str = "7", **more) -> JournalRow:
    known = {k: more.pop(k) for k in ("filled", "average", "reason", "local", "quantity") if k in more}
    given = {
        "id": number, "tag": TAG, "client_order_id": None, "fingerprint": "", "origin": "ours",
        "strategy": "s", "is_exit": False, "created_ns": 2000 * S, "key": SBIN, "action": Action.BUY,
        "price_type": PriceType.LIMIT, "product": "MIS", "price": Decimal("800.05"),
        "trigger_price": Decimal(0), "disclosed_quantity": 0, "pending": "", "pending_ns": 0, "answer": "",
        "known": Known(state, **{"quantity": 5, "order_id": order_id, **known}),
    }  # fmt: skip
    return JournalRow(**{**given, **more})


def plan(rows, book, read_ns=NOW):
    return plan_orders(rows, book, day_start_ns=DAY, read_ns=read_ns, settle_ns=2 * S)


def test_a_book_that_agrees_teaches_nothing():
    found = plan([row()], [book_row("7", TAG)])
    assert (found.changes, found.foreign, found.missing) == ((), (), ())


def test_an_unknown_order_is_found_by_its_tag_also_when_a_modify_rewrote_it():
    lost = row(state=State.UNKNOWN, order_id="")
    for tag in (TAG, TAG + "-1795651200", TAG + "-ADMINAPI"):
        found = plan([lost], [book_row("9", tag)])
        assert [(c.journal_id, c.event) for c in found.changes] == [
            (1, machine.BrokerSays(book_row("9", tag)))
        ]
        assert not found.foreign


def test_a_known_orders_tag_on_another_id_is_somebody_elses():
    found = plan([row(order_id="7")], [book_row("9", TAG), book_row("7", "")])
    assert [order.order_id for order in found.foreign] == ["9"]
    assert not found.changes


@pytest.mark.parametrize(
    "order",
    [
        book_row("9", TAG[:-1] + "X"),
        book_row("9", TAG[:-1]),
        book_row("9", ""),
        book_row("9", "NA"),
        book_row("9", TAG, action=Action.SELL),
    ],
)
def test_another_order_is_foreign_not_ours(order):
    found = plan([row(state=State.UNKNOWN, order_id="")], [order])
    assert found.changes == ()
    assert found.foreign == (order,)


def test_one_tag_on_two_orders_is_ours_once():
    found = plan([row(state=State.UNKNOWN, order_id="")], [book_row("8", TAG), book_row("9", TAG)])
    assert len(found.changes) == 1
    assert [o.order_id for o in found.foreign] == ["9"]


def test_a_working_order_missing_from_todays_book_is_shown_and_left_alone():
    found = plan([row()], [])
    assert found.changes == ()
    assert found.missing == ("order 7 (NSE:SBIN) is not in the broker's book",)


def test_an_order_placed_while_the_book_was_read_is_not_missing():
    assert plan([row(created_ns=NOW - S)], []).missing == ()


def test_yesterdays_working_order_ends_with_its_day():
    found = plan([row(created_ns=DAY - S)], [])
    assert isinstance(found.changes[0].event, machine.DayEnded)
    assert not plan([row(created_ns=DAY - S)], [book_row("7", TAG)]).changes


@pytest.mark.parametrize("state", [State.UNKNOWN, State.SENDING, State.COMPLETE, State.REJECTED])
def test_absence_alone_ends_nothing_else(state):
    assert plan([row(state=state, order_id="", created_ns=DAY - S)], []).changes == ()


def test_a_change_of_unknown_outcome_is_settled_by_a_later_reading_only():
    waiting = row(pending="modify", pending_ns=NOW - S)
    shown = book_row("7", TAG, price=Decimal(810))
    assert plan([waiting], [shown]).changes == ()
    later = plan([waiting], [shown], read_ns=NOW + 2 * S).changes[0]
    assert (later.pending, later.terms.price) == ("", Decimal(810))
    ended = plan([waiting], [replace(shown, status=OrderStatus.CANCELLED)]).changes[0]
    assert (ended.pending, ended.terms) == ("", None)


def test_other_terms_at_the_broker_are_taken_over_once_no_change_is_open():
    shown = book_row("7", TAG, price=Decimal(810))
    (found,) = plan([row(disclosed_quantity=3)], [shown]).terms
    assert (found[0], found[1].price, found[1].disclosed_quantity) == (1, Decimal(810), 3)
    assert plan([row()], [book_row("7", TAG)]).terms == ()
    assert plan([row(pending="modify", pending_ns=NOW - S)], [shown]).terms == ()
    assert plan([row()], [replace(shown, in_transit=True)]).terms == ()
    assert plan([row()], [replace(shown, status=OrderStatus.CANCELLED)]).terms == ()


def trade(order_id, quantity, price):
    return Trade("t", order_id, SBIN, Action.BUY, "MIS", quantity, Decimal(price), None)


def test_averages_come_from_the_trades_where_the_book_has_none():
    book = [
        book_row("1", status=OrderStatus.COMPLETE, filled_quantity=5),
        book_row("2", status=OrderStatus.COMPLETE, filled_quantity=5, average_price=Decimal(9)),
        book_row("3"),
        book_row("4", filled_quantity=1),
    ]
    trades = [trade("1", 2, 10), trade("1", 3, "11"), trade("2", 5, 1), trade("3", 1, 1)]
    assert [o.average_price for o in with_averages(book, trades)] == [Decimal("10.6"), 9, 0, 0]


RULES = SettleRules(horizon_s=10.0, gap_s=2.0, reads=3)
LOST = row(state=State.UNKNOWN, order_id="")


def looks(times, found=(), today=True):
    """Events of healthy readings at these times after the answer was lost at 100."""
    evidence, events = Evidence(100.0), []
    for at in times:
        evidence, event = weigh(evidence, LOST, list(found), at, RULES, today=today)
        events.append(event)
    return events


def test_found_is_evidence_at_once():
    assert looks([100.1], [book_row("9", TAG)]) == [machine.BrokerSays(book_row("9", TAG))]


def test_absent_counts_three_times_two_seconds_apart_after_the_horizon():
    events = looks([110, 112, 114])
    assert events[:2] == [None, None]
    assert isinstance(events[2], machine.NeverReached)


@pytest.mark.parametrize(
    "times",
    [
        [100, 102, 104, 106, 108],  # the write could still be on its way
        [109.9, 112, 114],
        [110, 111, 112, 113],  # too close together
        [110, 112],
    ],
)
def test_absent_does_not_count_too_early_or_too_close(times):
    assert looks(times) == [None] * len(times)


def test_another_days_book_proves_nothing():
    assert looks([110, 112, 114, 116, 118], today=False) == [None] * 5


def test_somebody_elses_order_is_not_evidence():
    assert looks([105], [book_row("9", "QQQQQQQQQQQQQQQQ"), book_row("9", TAG, action=Action.SELL)]) == [None]


def test_of_two_orders_with_our_tag_the_first_is_ours():
    early, late = (datetime(2026, 11, 20, 4, tzinfo=UTC) + timedelta(seconds=n) for n in (0, 1))
    found = [book_row("9", TAG, placed_at=late), book_row("8", TAG, placed_at=early)]
    assert looks([105], found)[0].order.order_id == "8"


@given(st.lists(st.floats(100, 160, allow_nan=False), max_size=30).map(sorted))
def test_never_reached_needs_three_spaced_late_readings(times):
    events = looks(times)
    if not any(events):
        return
    first = next(n for n, event in enumerate(events) if event)
    late = [at for at in times[: first + 1] if at >= 110]
    assert len(late) >= 3
    assert late[-1] - late[0] >= 4.0


def position(quantity, product="MIS"):
    return Position(SBIN, product, quantity, Decimal(1), None, None)


def test_drift_is_a_position_that_moved_without_an_order_and_stayed_so():
    executed = fills([row(filled=5, state=State.COMPLETE), row(2, filled=2, action=Action.SELL)])
    assert executed == {(SBIN, "MIS"): 3}
    base = offsets([position(13)], executed)
    assert base == {(SBIN, "MIS"): 10}
    moved = offsets([position(20)], executed)
    assert drift(base, base, moved) == []
    assert drift(base, moved, moved) == ["NSE:SBIN MIS: +7 without an order known here"]
    assert drift(base, base, offsets([position(13)], executed)) == []


def test_outstanding_exits_are_what_they_may_still_trade():
    rows = [row(filled=2, action=Action.SELL), row(2, State.UNKNOWN, "", action=Action.SELL, quantity=7)]
    assert outstanding(rows) == {(SBIN, "MIS"): -10}
