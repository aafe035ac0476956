from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from brokers.errors import BrokerDown, LoginRequired, OrderRejected, RateLimited
from brokers.model import OrderStatus
from gateway.latency import book as books
from gateway.latency.book import Book
from gateway.latency.model import CLOCK_SET, CLOCK_SET_LATER, day_of
from gateway.trading.writes import Failed, Lost
from tests.gateway.latency.says import MS, START, clock, heard, wrote

DAY = "2026-11-20"
OPEN, COMPLETE, CANCELLED = OrderStatus.OPEN, OrderStatus.COMPLETE, OrderStatus.CANCELLED


def durations(book: Book) -> dict[str, float]:
    return {f"{d.endpoint}.{d.stage}": d.ns / MS for d in book.gathered.durations}


def test_every_stage_is_the_difference_of_its_own_two_stamps():
    at, book = clock(), Book()
    book.wrote(wrote(at))
    book.heard(heard(at, 30, OPEN))
    book.heard(heard(at, 44, COMPLETE))
    assert durations(book) == {
        "place.check": 1,
        "place.journal": 2,
        "place.send": 1,
        "place.acknowledge": 20,
        "place.answer": 1,
        "place.total": 25,
        "place.exchange": 26,
        "place.fill": 40,
    }
    assert book.gathered.counts == {(DAY, "place.acknowledged"): 1, (DAY, "place.sent"): 1}


def test_a_resting_order_has_no_fill_time_but_keeps_its_stamp():
    at, book = clock(), Book()
    book.wrote(wrote(at, price_type="LIMIT"))
    book.heard(heard(at, 9000, COMPLETE))
    assert "place.fill" not in durations(book)
    assert book.gathered.rows[1].filled_ns == 9000 * MS


@pytest.mark.parametrize("known_by", ["tag", "order id"])
def test_an_update_that_is_faster_than_the_answer_counts(known_by):
    at, book = clock(), Book()
    book.heard(heard(at, 14, OPEN, journal_id=1 if known_by == "tag" else 0))
    assert book.gathered.rows == {}
    book.wrote(wrote(at))
    assert durations(book)["place.exchange"] == 10


def test_a_cancel_is_measured_to_the_end_whichever_news_comes_first():
    for updates_first in (True, False):
        at, book = clock(), Book()
        book.wrote(wrote(at))
        at.advance(60)
        gone = heard(at, 33, CANCELLED)
        cancel = wrote(at, "cancel", stages={"sent": 3, "acknowledged": 23, "answered": 24})
        for say in (book.heard, book.wrote) if updates_first else (book.wrote, book.heard):
            say(gone if say == book.heard else cancel)
        assert durations(book)["cancel.cancelled"] == 30
        assert "place.cancelled" not in durations(book)
        assert book.gathered.rows[1].cancelled_ns == 60_033 * MS


def test_the_first_update_at_the_exchange_is_its_acknowledgement():
    at, book = clock(), Book()
    book.wrote(wrote(at))
    book.heard(heard(at, 28, OPEN, at_exchange=False))
    book.heard(heard(at, 34, OPEN))
    book.heard(heard(at, 99, OPEN))
    assert durations(book)["place.exchange"] == 30


def test_a_clock_set_under_a_request_takes_all_its_durations():
    at, book = clock(), Book()
    begun = wrote(at)
    book.wrote(wrote(at, began_offset=begun.offset - 2 * MS))
    book.wrote(wrote(at, number=2), clock_set=True)
    book.wrote(wrote(at, number=3, stages={"checked": 5, "sent": 4}))
    assert durations(book) == {}
    assert {row.flags for row in book.gathered.rows.values()} == {CLOCK_SET}


def test_a_clock_set_after_the_answer_takes_only_what_came_later():
    at, book = clock(), Book()
    book.wrote(wrote(at))
    at.advance(0.03)
    at.set(START - timedelta(seconds=5))
    book.heard(heard(at, 0, COMPLETE))
    row = book.gathered.rows[1]
    assert (row.filled_ns, row.exchange_ns, row.flags) == (None, None, CLOCK_SET_LATER)
    assert durations(book)["place.acknowledge"] == 20


ENDS = [
    (Failed(OrderRejected("no"), True), "ORDER_REJECTED", {"place.rejected", "place.sent"}),
    (Failed(RateLimited("slow", retry_after_s=1), True), "RATE_LIMITED", {"place.limited", "place.sent"}),
    (Failed(LoginRequired("who"), True), "AUTH_EXPIRED", {"place.failed", "place.sent"}),
    (Failed(BrokerDown("gone"), False), "BROKER_DISCONNECTED", {"place.not_sent"}),
]


@pytest.mark.parametrize(("outcome", "code", "names"), ENDS)
def test_an_end_is_counted_by_its_class(outcome, code, names):
    at, book = clock(), Book()
    book.wrote(wrote(at, outcome=outcome, code=code, stages={"checked": 1, "sent": 3, "answered": 9}))
    assert book.gathered.counts == {(DAY, name): 1 for name in {*names, f"error.{code}"}}
    assert "place.acknowledge" not in durations(book)


def test_an_answer_that_never_came_is_lost_and_unknown_only_if_nothing_was_found():
    at, book = clock(), Book()
    lost = Lost("timeout")
    book.wrote(wrote(at, outcome=lost, code="", stages={"sent": 3, "answered": 900}, order_id=""))
    book.wrote(wrote(at, number=2, outcome=lost, code="OUTCOME_UNKNOWN", stages={"sent": 3}))
    counted = book.gathered.counts
    assert (counted[DAY, "place.lost"], counted[DAY, "place.unknown"]) == (2, 1)
    book.heard(heard(at, 30, OPEN))
    assert book.gathered.rows[1].order_id == "B1"
    assert durations(book)["place.exchange"] == 27


def test_a_refusal_of_the_exchange_counts_once_as_a_refusal():
    at, book = clock(), Book()
    book.wrote(wrote(at))
    for ms in (30, 31):
        book.heard(heard(at, ms, OrderStatus.REJECTED))
    assert book.gathered.counts[DAY, "place.rejected"] == 1
    assert book.gathered.rows[1].outcome == "rejected"


def test_a_probe_is_known_by_strategy_and_client_id_together():
    at, book = clock(), Book()
    book.wrote(wrote(at, strategy="compare", client_order_id="run7-12"))
    book.wrote(wrote(at, number=2, strategy="mine", client_order_id="run7-12"))
    assert [row.probe for row in book.gathered.rows.values()] == ["run7-12", ""]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(books, "MOST_ORDERS", 3)
    monkeypatch.setattr(books, "MOST_EARLY", 3)
    at, book = clock(), Book()
    for number in range(1, 9):
        book.wrote(wrote(at, number=number))
        book.heard(heard(at, 30, OPEN, number + 100))
    assert (len(book._orders), len(book._by_order_id), len(book._early)) == (3, 3, 3)
    assert sorted(book._orders) == [6, 7, 8]


@pytest.mark.parametrize(("utc", "day"), [("18:29:59.999999", "2026-11-20"), ("18:30:00", "2026-11-21")])
def test_a_day_ends_at_midnight_in_india(utc, day):
    at = datetime.fromisoformat(f"2026-11-20T{utc}+00:00")
    assert day_of(int(at.timestamp()) * 10**9 + at.microsecond * 1000) == day
