"""What waits is carried out once, whatever is asked twice and whenever the process dies."""

from __future__ import annotations

import random
import threading
import time as wall
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import IST, ManualClock
from brokers.errors import InvalidRequest, NotReady, StoreError
from brokers.model import InstrumentKey, Product, Venue
from gateway.store import engine, queued
from gateway.store.queued import NewOrder, Outcome, QueuedOrder, QueuedOrders, Step, fingerprint_of
from gateway.store.strategies import NewStrategy, Strategies
from gateway.strategies import queue as queues
from gateway.strategies.model import Hours, Mapped, TradingMode
from gateway.strategies.queue import SEMI_AUTO, Queue, TryAgain

START = datetime(2026, 11, 20, 9, 30, tzinfo=IST)
SBIN = Mapped(InstrumentKey("NSE", "SBIN"), 5, Product.MIS)
TCS = Mapped(InstrumentKey("NSE", "TCS"), 3, Product.MIS)
HOURS = Hours(time(9, 20), time(15, 0), time(15, 15))
DONE = Outcome(Step.DONE, 200, {"status": "success", "orderid": "1"})


class Broker:
    """Stands where the carrier stands: keeps what it was given, in order."""

    def __init__(self) -> None:
        self.rows: list[QueuedOrder] = []
        self.answers: list[Outcome | TryAgain] = []
        self.before: Callable[[QueuedOrder], None] = lambda row: None

    def __call__(self, row: QueuedOrder) -> Outcome | TryAgain:
        self.before(row)
        self.rows.append(row)
        return self.answers.pop(0) if self.answers else DONE


class Room:
    """One instance's queue over a real database; ``queue`` is replaced by a restart."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(START)
        self.database = engine.open(path / "main.db", Venue.SIM)
        self.strategies = Strategies(self.database, self.clock)
        self.store = QueuedOrders(self.database, self.clock)
        self.broker = Broker()
        self.told: list[int] = []
        self.queue = self._queue()

    def _queue(self) -> Queue:
        return Queue(self.store, self.strategies, self.clock, announce=lambda row: self.told.append(row.id))

    def start(self) -> None:
        self.queue.start(self.broker)

    def restart(self) -> None:
        """Another process takes over; the old one may still hold a thread, as a killed one would not."""
        self.queue.stop()
        self.queue = self._queue()
        self.start()

    def order(self, client_id: str, symbol: str = "SBIN", **body: Any) -> NewOrder:
        body = {"exchange": "NSE", "symbol": symbol, "strategy": "test", **body}
        return NewOrder(client_id, "api", "placeorder", body, fingerprint_of("placeorder", body), 1)

    def submit(self, client_id: str, symbol: str = "SBIN", **body: Any) -> QueuedOrder:
        [row], _ = self.queue.submit([self.order(client_id, symbol, **body)])
        return row

    def intraday(self, *symbols: Mapped) -> None:
        self.strategies.create(NewStrategy("day", "python", TradingMode.LONG, HOURS, symbols or (SBIN,)))

    def ended(self, row: QueuedOrder) -> QueuedOrder:
        until(lambda: self.store.get(row.id).step.is_final)
        return self.store.get(row.id)


def until(good: Callable[[], Any]) -> None:
    end = wall.monotonic() + 10
    while not good():
        assert wall.monotonic() < end
        wall.sleep(0.005)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with opened(tmp_path) as one:
        yield one


@contextmanager
def opened(path: Path) -> Iterator[Room]:
    one = Room(path)
    try:
        yield one
    finally:
        one.queue.stop()
        one.database.close()


def test_an_order_is_carried_out_and_its_outcome_kept(room):
    room.start()
    row = room.ended(room.submit("a"))
    assert (row.step, row.status, row.answer["orderid"]) == (Step.DONE, 200, "1")
    assert [r.client_id for r in room.broker.rows] == ["a"]


def test_the_same_id_again_is_the_first_order(room):
    room.start()
    first = room.submit("a")
    [again], repeated = room.queue.submit([room.order("a")])
    assert (again.id, repeated) == (first.id, True)
    room.ended(first)
    assert len(room.broker.rows) == 1
    with pytest.raises(InvalidRequest) as caught:
        room.submit("a", "TCS")
    assert caught.value.code == "CLIENT_ORDER_ID_REUSED"


def test_orders_of_one_instrument_leave_one_after_another_in_order(room):
    gate, inside, most = threading.Event(), [], []

    def slow(row: QueuedOrder) -> None:
        inside.append(row.id)
        most.append(len(inside))
        gate.wait(5)
        wall.sleep(0.005)
        inside.remove(row.id)

    room.broker.before = slow
    room.start()
    rows = [room.submit(f"s{n}") for n in range(6)]
    other = room.submit("other", "TCS")
    until(lambda: other.id in inside)
    assert len(inside) == 2  # the first SBIN, and TCS beside it
    gate.set()
    for row in (*rows, other):
        room.ended(row)
    sent = [r.client_id for r in room.broker.rows if r.client_id != "other"]
    assert sent == [f"s{n}" for n in range(6)]
    assert max(most) == 2


def test_what_could_not_leave_is_tried_again_and_then_given_up(room, monkeypatch):
    monkeypatch.setattr(queues, "PAUSE_S", 0.001)
    monkeypatch.setattr(queues, "LONGEST_PAUSE_S", 0.001)
    refused = TryAgain(Outcome(Step.FAILED, 503, {"status": "error", "code": "NOT_READY"}))
    room.broker.answers = [refused, refused, DONE]
    room.start()
    assert room.ended(room.submit("a")).step is Step.DONE
    assert len(room.broker.rows) == 3
    room.broker.answers = [refused] * 100_000
    room.broker.before = lambda row: room.clock.advance(10)
    late = room.ended(room.submit("b"))
    assert (late.step, late.answer["code"]) == (Step.FAILED, "NOT_READY")
    assert 6 <= len([r for r in room.broker.rows if r.client_id == "b"]) <= 8


def test_a_square_off_is_tried_for_half_an_hour(room, monkeypatch):
    monkeypatch.setattr(queues, "PAUSE_S", 0.001)
    monkeypatch.setattr(queues, "LONGEST_PAUSE_S", 0.001)
    refused = TryAgain(Outcome(Step.FAILED, 403, {"status": "error", "code": "AUTH_EXPIRED"}))
    room.broker.answers = [*[refused] * 100, DONE]
    room.broker.before = lambda row: room.clock.advance(15)
    room.intraday()
    room.start()
    room.clock.set(datetime(2026, 11, 20, 15, 15, tzinfo=IST))
    room.queue.tick(room.clock.now())
    [row] = room.store.recent()
    assert room.ended(row).step is Step.DONE
    assert len(room.broker.rows) == 101


def test_a_restart_takes_up_what_was_due(room):
    row = room.submit("a")  # on disk; the process dies before a thread saw it
    room.restart()
    assert room.ended(row).step is Step.DONE
    assert len(room.broker.rows) == 1


def test_a_restart_does_not_send_what_is_long_past(room):
    row = room.submit("a")
    room.clock.advance(queues.RESUME_WITHIN_S + 1)
    room.restart()
    row = room.ended(row)
    assert (row.step, row.answer["code"]) == (Step.EXPIRED, "TOO_LATE")
    assert room.broker.rows == []


def test_what_has_ended_stays_as_it_ended(room):
    room.start()
    row = room.ended(room.submit("a"))
    room.store.finish(row.id, Outcome(Step.FAILED, 500, {}))
    assert room.store.get(row.id).step is Step.DONE


def test_a_waiting_order_is_announced_and_leaves_when_approved(room):
    room.queue.set_mode(SEMI_AUTO)
    room.start()
    row = room.submit("a")
    assert (row.step, room.told) == (Step.WAITING, [row.id])
    assert room.broker.rows == []
    assert room.queue.approve(row.id).step is Step.DONE
    assert len(room.broker.rows) == 1


def test_a_hundred_approvals_at_once_send_one_order(room):
    room.queue.set_mode(SEMI_AUTO)
    room.start()
    row = room.submit("a")
    found: list[QueuedOrder] = []
    threads = [threading.Thread(target=lambda: found.append(room.queue.approve(row.id))) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [r.step for r in found] == [Step.DONE] * 100
    assert len(room.broker.rows) == 1


def test_a_crash_after_the_approval_neither_loses_nor_keeps_it_waiting(room):
    room.queue.set_mode(SEMI_AUTO)
    row = room.submit("a")
    room.store.decide(row.id, Step.DUE)  # and the process is killed here
    room.restart()
    assert room.ended(row).step is Step.DONE
    assert [r.client_id for r in room.broker.rows] == ["a"]


def test_a_rejected_order_never_leaves(room):
    room.queue.set_mode(SEMI_AUTO)
    room.start()
    row = room.submit("a")
    assert room.queue.reject(row.id).step is Step.REJECTED
    assert room.queue.reject(row.id).step is Step.REJECTED
    with pytest.raises(InvalidRequest) as caught:
        room.queue.approve(row.id)
    assert caught.value.code == "REJECTED"
    room.restart()
    assert room.broker.rows == []
    approved = room.submit("b")
    room.queue.approve(approved.id)
    with pytest.raises(InvalidRequest) as caught:
        room.queue.reject(approved.id)
    assert caught.value.code == "DECIDED"


def test_what_waits_ends_with_its_day(room):
    room.queue.set_mode(SEMI_AUTO)
    room.start()
    row, other = room.submit("a"), room.submit("b")
    room.clock.set(datetime(2026, 11, 20, 23, 59, tzinfo=IST))
    room.queue.tick(room.clock.now())
    assert room.store.get(row.id).step is Step.WAITING
    room.clock.set(datetime(2026, 11, 21, 0, 0, 1, tzinfo=IST))
    with pytest.raises(InvalidRequest) as caught:
        room.queue.approve(row.id)
    assert caught.value.code == "EXPIRED"
    late = room.submit("c")
    room.clock.set(datetime(2026, 11, 22, 9, 0, tzinfo=IST))
    room.queue.tick(room.clock.now())
    assert {room.store.get(r.id).step for r in (row, other, late)} == {Step.EXPIRED}
    assert room.broker.rows == []


def test_waiting_orders_and_the_mode_outlive_a_restart(room):
    room.queue.set_mode(SEMI_AUTO)
    row = room.submit("a")
    room.restart()
    assert room.queue.mode == SEMI_AUTO
    assert room.store.get(row.id).step is Step.WAITING
    assert room.queue.approve(row.id).step is Step.DONE


def test_an_approval_without_a_running_process_decides_nothing(room):
    room.queue.set_mode(SEMI_AUTO)
    row = room.submit("a")
    with pytest.raises(NotReady):
        room.queue.approve(row.id)
    assert room.store.get(row.id).step is Step.WAITING


def test_the_mode_is_one_of_two(room):
    with pytest.raises(InvalidRequest, match="auto, semi_auto"):
        room.queue.set_mode("manual")


def test_more_than_can_wait_is_refused_and_leaves_no_row(room, monkeypatch):
    monkeypatch.setattr(queued, "MOST_WAITING", 3)
    room.queue.set_mode(SEMI_AUTO)
    room.submit("a")
    with pytest.raises(StoreError, match="wait already"):
        room.queue.submit([room.order(f"b{n}") for n in range(3)])
    assert [r.client_id for r in room.store.recent()] == ["a"]


def square_offs(room: Room) -> list[tuple[str, str, str]]:
    return [(r.body["symbol"], r.body["position_size"], r.kind) for r in room.broker.rows]


def test_an_intraday_strategy_is_squared_off_at_its_time_once(room):
    room.intraday(SBIN, TCS)
    room.start()
    room.clock.set(datetime(2026, 11, 20, 15, 14, 59, tzinfo=IST))
    room.queue.tick(room.clock.now())
    assert room.store.recent() == []
    room.clock.set(datetime(2026, 11, 20, 15, 15, tzinfo=IST))
    for _ in range(3):
        room.queue.tick(room.clock.now())
    until(lambda: room.store.recent() and not room.store.due())
    room.restart()
    room.queue.tick(room.clock.now())
    room.clock.set(datetime(2026, 11, 20, 23, 0, tzinfo=IST))
    room.queue.tick(room.clock.now())
    assert sorted(square_offs(room)) == [("SBIN", "0", "placesmartorder"), ("TCS", "0", "placesmartorder")]
    room.clock.set(datetime(2026, 11, 21, 15, 16, tzinfo=IST))
    room.queue.tick(room.clock.now())
    until(lambda: len(room.broker.rows) == 4)


def test_a_square_off_missed_while_away_is_made_up_for_the_same_day(room):
    room.intraday()
    room.clock.set(datetime(2026, 11, 20, 15, 40, tzinfo=IST))
    room.start()
    room.queue.tick(room.clock.now())
    until(lambda: len(room.broker.rows) == 1)


def test_a_square_off_on_disk_is_sent_however_late_that_day_and_not_on_the_next(room):
    room.intraday(SBIN, TCS)
    room.clock.set(datetime(2026, 11, 20, 15, 15, tzinfo=IST))
    room.queue.tick(room.clock.now())  # on disk; the process dies
    room.clock.advance(queues.RESUME_WITHIN_S * 2)
    room.restart()
    until(lambda: len(room.broker.rows) == 2)
    room.clock.set(datetime(2026, 11, 21, 15, 15, tzinfo=IST))
    room.queue.stop()
    room.queue.tick(room.clock.now())
    room.clock.set(datetime(2026, 11, 22, 9, 0, tzinfo=IST))
    room.restart()
    until(lambda: not room.store.due())
    assert len(room.broker.rows) == 2


def test_a_strategy_made_or_switched_on_after_its_time_waits_for_tomorrow(room):
    room.clock.set(datetime(2026, 11, 20, 15, 30, tzinfo=IST))
    room.intraday()
    room.queue.tick(room.clock.now())
    assert room.store.recent() == []
    room.strategies.switch("day", False)
    room.clock.set(datetime(2026, 11, 21, 15, 15, tzinfo=IST))
    room.queue.tick(room.clock.now())
    assert room.store.recent() == []
    room.clock.advance(60)
    room.strategies.switch("day", True)
    room.queue.tick(room.clock.now())
    assert room.store.recent() == []
    room.clock.advance(86_400)
    room.queue.tick(room.clock.now())
    assert len(room.store.recent()) == 1


def test_switching_on_what_is_on_does_not_skip_its_square_off(room):
    room.intraday()
    room.clock.set(datetime(2026, 11, 20, 15, 15, 1, tzinfo=IST))
    room.strategies.switch("day", True)
    room.queue.tick(room.clock.now())
    assert len(room.store.recent()) == 1


def test_square_offs_wait_too_in_semi_auto_mode(room):
    room.intraday()
    room.queue.set_mode(SEMI_AUTO)
    room.clock.set(datetime(2026, 11, 20, 15, 15, tzinfo=IST))
    room.queue.tick(room.clock.now())
    [row] = room.store.recent()
    assert (row.step, row.source, room.told) == (Step.WAITING, "square-off", [row.id])


@pytest.mark.parametrize("seed", range(5))
def test_processes_that_die_anywhere_send_each_order_once(tmp_path, seed):
    """A carrier that dies before or after it has sent; what counts is the broker's own set of ids."""
    choose = random.Random(seed)
    sent: list[str] = []

    def carry(row: QueuedOrder) -> Outcome:
        dies = choose.random()
        if dies < 0.3:
            raise SystemError("killed before it was sent")
        if row.client_id not in sent:  # what the desk does under one id (O4)
            sent.append(row.client_id)
        if dies < 0.6:
            raise SystemError("killed before it was written down")
        return DONE

    with opened(tmp_path) as room:
        ids = [f"o{n}" for n in range(20)]
        for one in ids:
            room.submit(one, f"S{choose.randrange(4)}")
        for _ in range(200):
            if not room.store.due():
                break
            room.queue.stop()
            room.queue = Queue(room.store, room.strategies, room.clock)
            room.queue.start(carry)
            with suppress(AssertionError):
                until(lambda: not room.queue._here)
        assert room.store.due() == []
        assert sorted(sent) == sorted(ids)
        assert {r.step for r in room.store.recent()} == {Step.DONE}


def test_times_are_kept(room):
    room.queue.set_mode(SEMI_AUTO)
    room.start()
    row = room.submit("a")
    room.clock.advance(5)
    row = room.queue.approve(row.id)
    created = datetime.fromtimestamp(row.created_ns / 1e9, UTC)
    assert created == START
    assert row.decided_ns == row.ended_ns == row.created_ns + int(timedelta(seconds=5).total_seconds() * 1e9)
