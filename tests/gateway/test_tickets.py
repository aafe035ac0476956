"""One-use tickets: who gets in with one, how long, how often."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.secret import Secret
from gateway.tickets import LIFE_S, Tickets, seat_of

NOW = datetime(2026, 11, 20, 5, tzinfo=UTC)
SID = "a" * 32


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def tickets(clock: ManualClock) -> Tickets:
    return Tickets(Secret("k" * 40), clock)


def issue(tickets: Tickets, lasts_s: float = 3600) -> str:
    return tickets.issue(SID, NOW.timestamp() + lasts_s)


def test_a_ticket_is_good_once_and_names_its_session_by_a_digest(tickets, clock):
    ticket = issue(tickets)
    visitor = tickets.redeem(ticket)
    assert visitor is not None
    assert (visitor.seat, visitor.until) == (seat_of(SID), NOW.timestamp() + 3600)
    assert SID not in ticket
    assert tickets.redeem(ticket) is None


def test_a_ticket_is_good_in_another_process_of_the_instance_only(tickets, clock):
    assert Tickets(Secret("k" * 40), clock).redeem(issue(tickets)) is not None
    assert Tickets(Secret("x" * 40), clock).redeem(issue(tickets)) is None


def test_a_ticket_gets_old(tickets, clock):
    ticket = issue(tickets)
    clock.advance(LIFE_S)
    assert tickets.redeem(ticket) is None


def test_a_ticket_ends_with_its_session(tickets):
    assert tickets.redeem(issue(tickets, lasts_s=-1)) is None


def test_a_spent_ticket_is_forgotten_only_when_it_is_too_old_anyway(tickets, clock):
    ticket = issue(tickets)
    tickets.redeem(ticket)
    for _ in range(LIFE_S - 1):
        clock.advance(1)
        tickets.redeem(issue(tickets))
        assert tickets.redeem(ticket) is None
    clock.advance(LIFE_S + 1)
    tickets.redeem(issue(tickets))
    assert len(tickets._spent) <= 1


@pytest.mark.parametrize("text", ["", ".", "a.b.c.d.e", "é" * 40, "x" * 5000, "1.2.3.4"])
def test_anything_else_is_no_ticket(tickets, text):
    assert tickets.redeem(text) is None


@pytest.mark.parametrize("at", [0, 40, 70, 80, -1])
def test_a_changed_ticket_is_no_ticket(tickets, at):
    ticket = issue(tickets)
    changed = list(ticket)
    changed[at] = "0" if changed[at] != "0" else "1"
    assert tickets.redeem("".join(changed)) is None
