"""No window of the broker is ever exceeded, and an exit always finds a slot that entries left."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers import dhan
from brokers.clock import SystemClock
from brokers.contract import RateWindow
from brokers.errors import RateLimited
from gateway.trading.limiter import Gate, Lane, Limiter

SHORT = RateWindow(9, 1.1)
DAY = (SHORT, RateWindow(240, 60.0), RateWindow(950, 3600.0), RateWindow(6800, 86400.0))


def spec(*orders: RateWindow, data: tuple[RateWindow, ...] = (RateWindow(5, 1.1),)):
    return replace(dhan.SPEC, order_windows=orders, data_windows=data)


@pytest.mark.parametrize(
    ("rule", "entries"), [(SHORT, 7), (DAY[1], 228), (DAY[2], 902), (DAY[3], 6460), (RateWindow(1, 1.1), 1)]
)
def test_entries_leave_the_reserved_slots(rule, entries):
    gate = Gate([rule])
    for kind, room in (("entry", entries), ("exit", rule.count - entries)):
        for _ in range(room):
            assert gate.free_at(0.0, reserved=kind == "exit") == 0.0
            gate.take()
            gate.sent(0.0)
        at = gate.free_at(0.0, reserved=kind == "exit")
        assert at == pytest.approx(rule.seconds)


def test_a_slot_is_free_again_when_its_window_has_passed():
    gate = Gate([RateWindow(3, 1.0)])
    gate.take()
    gate.sent(5.0)
    assert gate.free_at(5.5, reserved=False) == 6.0
    assert gate.free_at(6.0, reserved=False) == 6.0


def test_who_needs_two_slots_back_waits_for_the_second():
    gate = Gate([SHORT])
    for tenth in range(9):
        gate.take()
        gate.sent(tenth / 10)
    # an exit needs one of nine back, an entry three: two are kept
    assert gate.free_at(0.9, reserved=True) == pytest.approx(1.1)
    assert gate.free_at(0.9, reserved=False) == pytest.approx(1.3)


def test_what_is_granted_but_not_sent_counts_as_now():
    """A slow commit between grant and send: the window must not see nine old and nine new ones at once."""
    gate = Gate([RateWindow(3, 1.0)])
    for _ in range(3):
        gate.take()
    assert gate.free_at(100.0, reserved=True) is None
    gate.sent(100.0)
    assert gate.free_at(100.5, reserved=True) == 101.0
    gate.give_back()
    assert gate.free_at(100.5, reserved=True) == 100.5


steps = st.lists(
    st.tuples(
        st.floats(0, 0.6, allow_nan=False),  # time passes
        st.sampled_from(["entry", "exit"]),
        st.floats(0, 0.9, allow_nan=False),  # from grant to send
        st.booleans(),  # sent at all
    ),
    max_size=60,
)


@given(steps, st.sampled_from([(RateWindow(5, 1.0),), (RateWindow(4, 1.0), RateWindow(8, 5.0))]))
def test_no_rolling_window_is_ever_exceeded(story, rules):
    """Random arrivals and random delays between grant and send, against a brute-force count of the sends."""
    gate = Gate(rules)
    now = 0.0
    waiting: list[tuple[float, bool]] = []
    sent: list[float] = []

    def settle(until: float) -> None:
        for at, really in sorted(w for w in waiting if w[0] <= until):
            if really:
                gate.sent(at)
                sent.append(at)
            else:
                gate.give_back()
        waiting[:] = [w for w in waiting if w[0] > until]

    for passes, lane, delay, really in story:
        now += passes
        settle(now)
        if gate.free_at(now, reserved=lane == "exit") == now:
            gate.take()
            waiting.append((now + delay, really))
    settle(math.inf)
    for rule in rules:
        for end in sent:
            inside = [at for at in sent if end - rule.seconds < at <= end]
            assert len(inside) <= rule.count


@given(st.lists(st.floats(0, 0.3, allow_nan=False), min_size=1, max_size=40))
def test_an_exit_always_finds_a_slot_that_entries_left(gaps):
    gate = Gate([RateWindow(5, 1.0)])
    now = 0.0
    for gap in gaps:
        now += gap
        if gate.free_at(now, reserved=False) == now:
            gate.take()
            gate.sent(now)
        assert gate.free_at(now, reserved=True) == now


def test_the_deadline_is_an_answer_not_a_queue():
    limiter = Limiter(spec(RateWindow(2, 60.0)), SystemClock())
    limiter.acquire(Lane.ENTRY, 0.0).sent()
    with pytest.raises(RateLimited) as caught:
        limiter.acquire(Lane.ENTRY, 30.0)  # certain to be too late: answered at once, not after 30 s
    assert 55 < caught.value.retry_after_s <= 60
    assert "nothing was sent" in str(caught.value)


def test_a_waiter_gets_the_slot_when_it_is_free():
    limiter = Limiter(spec(RateWindow(3, 0.2)), SystemClock())
    clock = SystemClock()
    limiter.acquire(Lane.ENTRY, 0.0).sent()
    begun = clock.monotonic()
    limiter.acquire(Lane.ENTRY, 5.0).sent()
    assert clock.monotonic() - begun >= 0.19


def test_a_waiter_is_woken_by_what_is_given_back():
    limiter = Limiter(spec(RateWindow(2, 60.0)), SystemClock())
    grant = limiter.acquire(Lane.ENTRY, 0.0)
    got = threading.Event()

    def wait():
        limiter.acquire(Lane.ENTRY, 20.0)
        got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.05)
    grant.give_back()
    assert got.wait(10)
    thread.join()


def test_market_data_never_holds_up_an_order():
    limiter = Limiter(spec(RateWindow(9, 1.1), data=(RateWindow(1, 60.0),)), SystemClock())
    limiter.acquire(Lane.DATA, 0.0).sent()
    with pytest.raises(RateLimited):
        limiter.acquire(Lane.DATA, 0.0)
    limiter.acquire(Lane.ENTRY, 0.0).sent()


@pytest.mark.parametrize("lane", [Lane.ENTRY, Lane.EXIT])
def test_a_429_closes_the_order_lane_for_its_time_only(lane):
    limiter = Limiter(spec(RateWindow(9, 0.1)), SystemClock())
    limiter.close(Lane.ENTRY, 0.3)
    with pytest.raises(RateLimited) as caught:
        limiter.acquire(lane, 0.1)
    assert 0.1 <= caught.value.retry_after_s <= 0.3
    limiter.acquire(Lane.DATA, 0.0).sent()
    limiter.acquire(lane, 5.0).sent()


def test_a_second_429_never_opens_the_lane_earlier():
    limiter = Limiter(spec(SHORT), SystemClock())
    limiter.close(Lane.ENTRY, 60)
    limiter.close(Lane.ENTRY, 1)
    with pytest.raises(RateLimited) as refused:
        limiter.acquire(Lane.ENTRY, 5)
    assert refused.value.retry_after_s > 50


def test_what_earlier_runs_sent_counts():
    limiter = Limiter(spec(RateWindow(100, 86400.0)), SystemClock())
    limiter.prime(Lane.ENTRY, [3600.0] * 90 + [90_000.0] * 50)
    for _ in range(5):
        limiter.acquire(Lane.ENTRY, 0.0).sent()
    with pytest.raises(RateLimited):
        limiter.acquire(Lane.ENTRY, 0.0)
    limiter.acquire(Lane.EXIT, 0.0).sent()


def test_a_block_marks_its_grant_as_sent_once():
    limiter = Limiter(spec(RateWindow(3, 60.0)), SystemClock())
    with limiter.acquire(Lane.EXIT, 0.0) as grant:
        grant.sent()
    limiter.acquire(Lane.EXIT, 0.0).sent()
    limiter.acquire(Lane.EXIT, 0.0).sent()
    with pytest.raises(RateLimited):
        limiter.acquire(Lane.EXIT, 0.0)


def test_what_it_let_through_delayed_and_refused_is_counted():
    limiter = Limiter(spec(SHORT, data=(RateWindow(1, 0.05),)), SystemClock())
    limiter.acquire(Lane.DATA, 0.0).sent()
    limiter.acquire(Lane.DATA, 1.0).sent()
    with pytest.raises(RateLimited):
        limiter.acquire(Lane.DATA, 0.0)
    counts = limiter.counts[Lane.DATA]
    assert (counts.granted, counts.waited, counts.refused) == (2, 1, 1)
    assert counts.waited_s == pytest.approx(0.05, abs=0.04)
    assert limiter.counts[Lane.ENTRY].granted == 0
