"""An order's life keeps its three rules, whatever comes, in whatever order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.model import OrderStatus
from gateway.trading import machine
from gateway.trading.machine import (
    TABLE,
    Acknowledged,
    AnswerLost,
    BrokerSays,
    DayEnded,
    IllegalTransition,
    Known,
    NeverReached,
    NeverSent,
    Refused,
    Sending,
    State,
    step,
)
from tests.gateway.trading.desks import book_row

SENDING = Known(State.SENDING, 10)


def known(state: State, **more) -> Known:
    return Known(state, 10, **{"order_id": "7", **more})


def says(status: OrderStatus, filled: int = 0, average: str = "0", **more) -> BrokerSays:
    row = book_row("7", status=status, filled_quantity=filled, average_price=Decimal(average), quantity=10)
    return BrokerSays(row if not more else machine.replace(row, **more))


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (Known(State.JOURNALED, 10), Sending(), State.SENDING),
        (SENDING, Acknowledged("7", OrderStatus.OPEN), State.OPEN),
        (SENDING, Acknowledged("7", OrderStatus.UNKNOWN), State.OPEN),
        (SENDING, Acknowledged("7", OrderStatus.REJECTED), State.REJECTED),
        (SENDING, Refused("margin"), State.REJECTED),
        (SENDING, NeverSent("no route"), State.REJECTED),
        (SENDING, AnswerLost(), State.UNKNOWN),
        (SENDING, says(OrderStatus.COMPLETE, 10, "5"), State.COMPLETE),
        (Known(State.UNKNOWN, 10), says(OrderStatus.OPEN), State.OPEN),
        (Known(State.UNKNOWN, 10), says(OrderStatus.UNKNOWN), State.OPEN),
        (Known(State.UNKNOWN, 10), NeverReached("absent"), State.REJECTED),
        (known(State.OPEN), says(OrderStatus.TRIGGER_PENDING), State.TRIGGER_PENDING),
        (known(State.OPEN), says(OrderStatus.UNKNOWN), State.OPEN),
        (known(State.OPEN), says(OrderStatus.CANCELLED, 4, "5"), State.CANCELLED),
        (known(State.OPEN), DayEnded("gone"), State.CANCELLED),
        (known(State.TRIGGER_PENDING), says(OrderStatus.OPEN), State.OPEN),
        # late news of a final order
        (known(State.COMPLETE, filled=10), says(OrderStatus.OPEN, 5), State.COMPLETE),
        (known(State.CANCELLED, filled=4), says(OrderStatus.OPEN, 4), State.CANCELLED),
        (known(State.REJECTED), says(OrderStatus.OPEN), State.REJECTED),
        (known(State.CANCELLED, filled=4), says(OrderStatus.COMPLETE, 10, "5"), State.COMPLETE),
        (known(State.CANCELLED, filled=4), says(OrderStatus.CANCELLED, 6, "5"), State.CANCELLED),
        # the broker's first sight of an order that we took for ended
        (known(State.REJECTED, order_id="", local=True), says(OrderStatus.OPEN), State.OPEN),
        (known(State.REJECTED, order_id=""), says(OrderStatus.COMPLETE, 10, "5"), State.COMPLETE),
        (known(State.CANCELLED, local=True), says(OrderStatus.COMPLETE, 10, "5"), State.COMPLETE),
        (known(State.CANCELLED, local=True), says(OrderStatus.OPEN), State.CANCELLED),
        # an update was faster than the answer
        (known(State.COMPLETE, filled=10), Acknowledged("7", OrderStatus.OPEN), State.COMPLETE),
        (known(State.OPEN), AnswerLost(), State.OPEN),
        (known(State.OPEN), Refused("contradiction"), State.OPEN),
        # the answer was lost first and read after all
        (Known(State.UNKNOWN, 10), Refused("margin"), State.REJECTED),
    ],
)
def test_where_an_event_leads(before, event, after):
    assert step(before, event).state is after


@pytest.mark.parametrize("state", [s for s in State if s is not State.JOURNALED])
def test_nothing_is_sent_twice(state):
    with pytest.raises(IllegalTransition):
        step(Known(state, 10, local=True), Sending())


def test_the_first_id_stays_and_a_late_row_does_not_resize_what_has_ended():
    assert step(known(State.OPEN), Acknowledged("8", OrderStatus.OPEN)).order_id == "7"
    ended = known(State.CANCELLED, filled=4)
    assert step(ended, says(OrderStatus.CANCELLED, 4, "5", quantity=6)).quantity == 10


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (known(State.OPEN), NeverReached("absent")),
        (SENDING, NeverReached("absent")),
        (known(State.COMPLETE), DayEnded("gone")),
        (Known(State.UNKNOWN, 10), DayEnded("gone")),
        (SENDING, Sending()),
        (Known(State.COMPLETE, 10), NeverSent("x")),
        (Known(State.UNKNOWN, 10), AnswerLost()),
    ],
)
def test_our_own_side_cannot_ask_for_the_impossible(before, event):
    with pytest.raises(IllegalTransition):
        step(before, event)


def test_fills_and_average_follow_the_newest_and_never_go_down():
    after = step(known(State.OPEN, filled=4, average=Decimal(5)), says(OrderStatus.OPEN, 2, "9"))
    assert (after.filled, after.average) == (4, Decimal(5))
    after = step(after, says(OrderStatus.COMPLETE, 10, "0"))
    assert (after.filled, after.average) == (10, Decimal(5))
    after = step(after, says(OrderStatus.COMPLETE, 10, "6.5"))
    assert after.average == Decimal("6.5")


def test_a_modified_quantity_is_taken_over_but_not_below_the_fills():
    after = step(known(State.OPEN, filled=4), says(OrderStatus.OPEN, 4, quantity=3))
    assert after.quantity == 4
    assert step(after, says(OrderStatus.OPEN, 4, quantity=30)).quantity == 30


def test_news_that_teach_nothing_change_nothing():
    before = known(State.OPEN, filled=4, average=Decimal(5))
    assert step(before, says(OrderStatus.OPEN, 4, "5")) == before


def test_reasons_come_from_the_broker():
    after = step(SENDING, says(OrderStatus.REJECTED, rejection_reason="no margin"))
    assert (after.reason, after.local) == ("no margin", False)


broker_rows = st.builds(
    says,
    st.sampled_from(list(OrderStatus)),
    st.integers(0, 12),
    st.sampled_from(["0", "5", "6.5"]),
    quantity=st.integers(0, 12),
)
answers = st.one_of(
    st.builds(Acknowledged, st.just("7"), st.sampled_from(list(OrderStatus))),
    st.just(Refused("no")),
    st.just(AnswerLost()),
    st.just(NeverSent("no route")),
    st.just(NeverReached("absent")),
    st.just(DayEnded("gone")),
)


@given(st.lists(st.one_of(broker_rows, broker_rows, answers), max_size=12))
def test_any_story_keeps_the_rules(events):
    now = SENDING
    for event in events:
        try:
            after = step(now, event)
        except IllegalTransition:
            assert not isinstance(event, BrokerSays), "what a broker says never raises"
            continue
        assert after.state is now.state or after.state in TABLE[now.state]
        assert after.filled >= now.filled
        assert after.quantity >= after.filled
        assert after.order_id == now.order_id or not now.order_id
        if now.state.is_final and after.state is not now.state:
            assert isinstance(event, BrokerSays)
            unseen = now.state is State.REJECTED and not now.order_id
            assert now.local or unseen or after.filled > now.filled
        if now.state is State.UNKNOWN and after.state is not State.UNKNOWN:
            assert isinstance(event, BrokerSays | Acknowledged | Refused | NeverReached | NeverSent)
        now = after


@given(st.lists(broker_rows, min_size=1, max_size=8), st.randoms())
def test_saying_everything_twice_teaches_nothing_new(events, random):
    now = SENDING
    for event in events:
        now = step(now, event)
        assert step(now, event) == now
