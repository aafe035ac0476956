"""The reconciler against books that lag behind each other: what was carried in, and terms of late changes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from brokers.clock import ManualClock
from brokers.model import Action, OrderChange, Position, PriceType
from gateway.trading.reconcile import SettleRules, fills
from gateway.trading.reconciler import Reconciler
from gateway.trading.tasks import THREADS
from tests.gateway.trading.desks import SBIN, Bench, until
from tests.gateway.trading.test_desk_changes import change

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


class Account:
    """What positions and the journal show, each as far as it got; nothing else of a desk."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.held = self.known = 0
        parts = SimpleNamespace(
            tasks=THREADS, clock=self.clock, journal=self, settle_rules=SettleRules(gap_s=2.0)
        )
        reader = SimpleNamespace(positions=self._positions)
        self.reconciler = Reconciler(parts, reader, None)

    def _positions(self) -> list[Position]:
        return [Position(SBIN, "MIS", self.held, Decimal(800), None, None)]

    def since(self, _: int):
        row = SimpleNamespace(
            created_ns=self.clock.time_ns(),
            known=SimpleNamespace(filled=self.known),
            action=Action.BUY,
            key=SBIN,
            product="MIS",
        )
        assert fills([row]) in ({}, {(SBIN, "MIS"): self.known})
        return [row]

    def read(self, held: int, known: int, after_s: float = 5.0) -> tuple[str, ...]:
        """Orders are read, then positions; the drift shown afterwards."""
        self.clock.advance(after_s)
        self.held, self.known = held, known
        self.reconciler._orders_begun = self.clock.monotonic()
        self.reconciler._positions()
        return self.reconciler.drift


def test_a_fill_the_orders_do_not_show_yet_after_another_of_its_size_is_not_carried_in() -> None:
    account = Account()
    account.read(held=5, known=0)  # the first fill: positions were faster
    account.read(held=10, known=5)  # it is known now, and a second one is not: the same difference
    for _ in range(3):
        assert account.read(held=10, known=10) == (), "nothing was ever carried in"


def test_what_stands_still_over_two_readings_of_both_is_carried_in() -> None:
    account = Account()
    for _ in range(3):
        assert account.read(held=7, known=0) == ()
    # and from then on a move without an order is drift, seen twice
    account.read(held=9, known=0)
    assert account.read(held=9, known=0) == (f"{SBIN} MIS: +2 without an order known here",)


def test_two_readings_at_the_same_moment_prove_no_standstill() -> None:
    account = Account()
    account.read(held=5, known=0)
    account.read(held=5, known=0, after_s=1.0)
    assert account.reconciler._baseline is None
    account.read(held=5, known=5)
    for _ in range(3):
        assert account.read(held=5, known=5) == ()


@pytest.fixture
def bench(tmp_path):
    one = Bench(tmp_path / "one.db")
    one.open()
    yield one
    one.close()


def moved_at_the_broker(bench: Bench, order_id: str) -> None:
    """A change that arrives when nobody waits for it any more."""
    shown = bench.rest.book[order_id]
    bench.rest.book[order_id] = replace(shown, price=Decimal(805), price_type=PriceType.LIMIT)


def test_terms_of_a_change_that_arrived_late_are_taken_over(bench: Bench) -> None:
    answer = bench.place()
    moved_at_the_broker(bench, answer.order_id)
    bench.desk.nudge()
    until(lambda: bench.journal.get(answer.journal_id).price == 805)
    last = bench.journal.events(answer.journal_id)[-1]
    assert (last["kind"], "as the broker shows them" in last["detail"]) == ("reconciled", True)


def test_a_reading_older_than_our_own_change_takes_nothing_over(bench: Bench) -> None:
    answer = bench.place()
    before_ns = time.time_ns()
    assert bench.desk.modify(change(answer.order_id), received_ns=0).ok
    stale = OrderChange(answer.order_id, 5, PriceType.LIMIT, Decimal(805), Decimal(0))
    assert not bench.journal.take_terms(answer.journal_id, stale, before_ns)
    assert bench.journal.get(answer.journal_id).price == 810
    assert bench.journal.take_terms(answer.journal_id, stale, time.time_ns())
    assert bench.journal.get(answer.journal_id).price == 805
