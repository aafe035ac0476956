"""The rules of a GTT's life, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST
from brokers.model import Gtt, GttLeg, GttState, PriceType
from gateway.trading.reconcile import Evidence, SettleRules
from gateway.triggers import evidence, machine
from gateway.triggers.machine import Known, State, step
from gateway.triggers.watch import Seen, fired
from tests.gateway.triggers.bench import oco, single

ACTIVE = Known(oco(), State.ACTIVE, "T1")
FIRING = step(ACTIVE, machine.Crossed(0, Decimal(789)))
EVENTS = {
    "placed": machine.Placed("T1"),
    "refused": machine.Refused("C", "no"),
    "lost": machine.AnswerLost(),
    "crossed": machine.Crossed(0, Decimal(789)),
    "sent": machine.Sent("O1"),
    "again": machine.Again("later"),
    "not sent": machine.NotSent("C", "no"),
    "held": machine.Held(),
    "changed": machine.Changed(single()),
    "cancelled": machine.Cancelled(),
    "expired": machine.Expired(),
    "vanished": machine.Vanished(),
}
LEADS = {
    (State.SENDING, "placed"): State.ACTIVE,
    (State.SENDING, "refused"): State.REJECTED,
    (State.SENDING, "lost"): State.UNKNOWN,
    (State.UNKNOWN, "placed"): State.ACTIVE,
    (State.UNKNOWN, "refused"): State.REJECTED,
    (State.ACTIVE, "crossed"): State.FIRING,
    (State.ACTIVE, "changed"): State.ACTIVE,
    (State.ACTIVE, "cancelled"): State.CANCELLED,
    (State.ACTIVE, "expired"): State.EXPIRED,
    (State.ACTIVE, "vanished"): State.GONE,
    (State.FIRING, "sent"): State.TRIGGERED,
    (State.FIRING, "again"): State.FIRING,
    (State.FIRING, "not sent"): State.FAILED,
    (State.FIRING, "held"): State.ACTIVE,
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(EVENTS))
def test_every_state_takes_these_events_and_no_other(state: State, name: str) -> None:
    known = replace(ACTIVE, state=state)
    wanted = LEADS.get((state, name))
    if wanted is None:
        with pytest.raises(machine.IllegalStep):
            step(known, EVENTS[name])
    else:
        assert step(known, EVENTS[name]).state is wanted


def test_crossed_is_checked_against_the_terms_of_that_moment() -> None:
    with pytest.raises(machine.IllegalStep):
        step(ACTIVE, machine.Crossed(0, Decimal("790.05")))
    with pytest.raises(machine.IllegalStep):
        step(ACTIVE, machine.Crossed(1, Decimal("819.95")))
    assert step(ACTIVE, machine.Crossed(1, Decimal("820"))).leg == 1


def test_no_two_orders_ever_share_a_name() -> None:
    names = [machine.client_order_id(FIRING)]
    again = step(FIRING, machine.Again("later"))
    names.append(machine.client_order_id(again))
    held = step(again, machine.Held())
    names.append(machine.client_order_id(step(held, machine.Crossed(0, Decimal(1)))))
    assert names == ["gtt:T1:1", "gtt:T1:1:2", "gtt:T1:1:3"]


def says(state: GttState, **more) -> machine.BrokerSays:
    terms = oco()
    row = Gtt("B1", terms.key, terms.action, 5, None, "CNC", terms.legs, state)
    return machine.BrokerSays(replace(row, **more))


@pytest.mark.parametrize(
    ("state", "said", "after"),
    [
        (State.UNKNOWN, GttState.ACTIVE, State.ACTIVE),
        (State.UNKNOWN, GttState.UNKNOWN, State.ACTIVE),
        (State.UNKNOWN, GttState.REJECTED, State.REJECTED),
        (State.ACTIVE, GttState.TRIGGERED, State.TRIGGERED),
        (State.ACTIVE, GttState.UNKNOWN, State.ACTIVE),
        (State.CANCELLED, GttState.TRIGGERED, State.TRIGGERED),
        (State.CANCELLED, GttState.ACTIVE, State.CANCELLED),
        (State.REJECTED, GttState.ACTIVE, State.ACTIVE),
        (State.GONE, GttState.ACTIVE, State.ACTIVE),
        (State.GONE, GttState.TRIGGERED, State.TRIGGERED),
        (State.TRIGGERED, GttState.UNKNOWN, State.TRIGGERED),
    ],
)
def test_the_brokers_list_is_the_truth(state: State, said: GttState, after: State) -> None:
    assert step(replace(ACTIVE, state=state), says(said)).state is after


def test_terms_changed_elsewhere_are_taken_over_and_the_way_it_fires_stays() -> None:
    known = Known(single("810", rises=True), State.ACTIVE, "B1")
    moved = GttLeg(Decimal(815), Decimal(814), rises=False)  # a list does not say which way
    after = step(known, says(GttState.ACTIVE, legs=(moved,), quantity=9)).terms
    assert after.legs == (replace(moved, rises=True),)
    assert after.quantity == 9
    market = replace(known, terms=replace(known.terms, price_type=PriceType.MARKET))
    kept = step(market, says(GttState.ACTIVE, legs=(replace(moved, price=Decimal(0)),))).terms.legs[0]
    assert kept.price == known.terms.legs[0].price


# -- which price counts ------------------------------------------------------------------------------------

MONDAY = datetime(2026, 11, 23, 10, 0, tzinfo=IST)


def look(price: str, *, at: datetime = MONDAY, age_s: float = 0, traded: datetime | None = MONDAY) -> object:
    seen_ms = int((at.timestamp() - age_s) * 1000)
    traded_ms = None if traded is None else int(traded.timestamp() * 1000)
    return fired(oco(), Seen(Decimal(price), seen_ms, traded_ms), at.astimezone(UTC), FileCalendar())


@pytest.mark.parametrize(
    ("price", "leg"), [("790", 0), ("789.95", 0), ("790.05", None), ("819.95", None), ("820", 1), ("0", None)]
)
def test_the_trigger_itself_fires(price: str, leg: int | None) -> None:
    assert look(price) == leg


def test_only_a_fresh_price_of_this_session_fires() -> None:
    assert look("700", age_s=4.9) == 0
    assert look("700", age_s=5.1) is None
    assert look("700", traded=None) == 0
    assert look("700", traded=MONDAY.replace(hour=9, minute=14)) is None, "before the session"
    assert look("700", traded=MONDAY.replace(day=20)) is None, "friday's last trade"


@pytest.mark.parametrize(
    "at",
    [MONDAY.replace(hour=9, minute=14), MONDAY.replace(hour=15, minute=45), MONDAY.replace(day=22)],
    ids=["before the open", "after the close", "sunday"],
)
def test_nothing_fires_outside_the_session(at: datetime) -> None:
    assert look("700", at=at, traded=None) is None


def test_an_exchange_that_is_always_open_has_a_session_too() -> None:
    now = datetime(2026, 11, 22, 3, 0, tzinfo=IST)
    seen = Seen(Decimal(700), int(now.timestamp() * 1000), int(now.timestamp() * 1000))
    assert fired(oco(), seen, now, AlwaysOpen()) == 0


# -- evidence ----------------------------------------------------------------------------------------------


def test_absence_counts_late_and_three_times() -> None:
    rules = SettleRules(horizon_s=10, gap_s=2, reads=3)
    found = Evidence(lost_at=100.0)
    events = []
    for at in (101, 109.9, 110, 111, 112, 113, 114):
        found, event = evidence.weigh(found, None, at, rules)
        events.append(event)
    assert events[:-1] == [None] * 6
    assert events[-1] == machine.Refused("BROKER_DISCONNECTED", evidence.NEVER_REACHED)
