"""Killed between any two steps of a fire: after the next start there is one order, and the GTT says which.

The steps are cut by a ``BaseException`` before or after the n-th commit, and before or after the broker took
the order; nothing above catches it, as nothing outlives ``kill -9``. Then a new process opens the same files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.model import OrderRequest
from gateway.store.gtt import GttRow
from gateway.triggers import fire, runner
from gateway.triggers.machine import IllegalStep, State
from gateway.triggers.watch import Seen
from tests.gateway.trading.desks import until
from tests.gateway.triggers.bench import SBIN, Keeper, oco

COMMITS = 4
"""Of one fire: crossed, the order's intent, its acknowledgement, sent."""
CUTS = [f"{side} {n}" for n in range(1, COMMITS + 1) for side in ("before commit", "after commit")]
CUTS += ["before the broker", "after the broker"]


class Killed(BaseException):
    """The process ended here."""


def seen(price: str = "789") -> Seen:
    return Seen(Decimal(price), time.time_ns() // 1_000_000, None)


def one_fire(keeper: Keeper, row: GttRow) -> None:
    """What the runner does, on one thread, so that a cut ends it for good."""
    after = fire.cross(keeper.store, row, 0, seen())
    fire.send(keeper.store, keeper.bench.desk, keeper.parts.clock, after)


def swapped(keeper: Keeper, row: GttRow) -> None:
    """The order first, then the journal; and under no name. The cuts must find this out."""
    order: OrderRequest = row.known.terms.order(0)
    keeper.bench.desk.place(order, strategy="", client_order_id=None, received_ns=time.time_ns())
    fire.cross(keeper.store, row, 0, seen())


def cut(keeper: Keeper, where: str, work: Callable[[], None]) -> bool:
    """Run ``work`` and kill it there; False when it ended before it came there."""
    database, rest = keeper.bench.database, keeper.rest
    write, place = database.write, rest.place
    side, _, number = where.rpartition(" ")
    commits, mine = 0, threading.get_ident()

    def dying_write(job):
        nonlocal commits
        if threading.get_ident() != mine:  # the desk's own threads commit too, and are not cut
            return write(job)
        commits += 1
        if side == "before commit" and commits == int(number):
            raise Killed
        result = write(job)
        if side == "after commit" and commits == int(number):
            raise Killed
        return result

    def dying_place(*args, **more):
        if where == "before the broker":
            raise Killed
        place(*args, **more)
        raise Killed

    if side.endswith("commit"):
        database.write = dying_write
    else:
        rest.place = dying_place
    try:
        work()
    except Killed:
        return True
    finally:
        database.write = write
        rest.place = place
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BACKOFF_S", (0.02,))
    monkeypatch.setattr(runner, "CHORES_S", 0.02)


def after_kill(keeper: Keeper, where: str, how: Callable[[Keeper, GttRow], None]) -> GttRow:
    """One fire, killed there; a new process in which the price is still beyond the trigger."""
    keeper.quotes[SBIN] = 800.0
    gtts = keeper.open(start=False)
    trigger_id = gtts.place(oco()).trigger_id
    row = keeper.store.get(trigger_id)
    assert row is not None
    died = cut(keeper, where, lambda: how(keeper, row))
    keeper.close()
    keeper.quotes[SBIN] = 789.0
    keeper.open()
    until(lambda: keeper.store.get(trigger_id).known.state is State.TRIGGERED, 20)
    assert died, "a cut that never came tests nothing"
    return keeper.store.get(trigger_id)


@pytest.mark.parametrize("where", CUTS)
def test_one_order_wherever_it_was_killed(tmp_path: Path, where: str) -> None:
    keeper = Keeper(tmp_path / "main.db")
    try:
        row = after_kill(keeper, where, one_fire)
        assert keeper.orders() == [("SELL", 5, Decimal("789.5"))]
        assert list(keeper.rest.book) == [row.known.order_id]
        # the other leg is dead, whatever the price does now
        keeper.ticks.send(825.0)
        keeper.gtts._runner.chores()
        assert len(keeper.orders()) == 1
        with pytest.raises(IllegalStep):
            fire.cross(keeper.store, row, 1, seen("825"))
    finally:
        keeper.close()


def test_the_cuts_find_a_fire_that_sends_before_it_journals(tmp_path: Path) -> None:
    doubled = []
    for where in ("after commit 2", "after the broker"):
        keeper = Keeper(tmp_path / f"{where}.db")
        try:
            after_kill(keeper, where, swapped)
            doubled.append(len(keeper.orders()))
        finally:
            keeper.close()
    assert doubled == [2, 2]


def test_the_cuts_are_all_there_are(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "main.db")
    keeper.quotes[SBIN] = 800.0
    try:
        trigger_id = keeper.open(start=False).place(oco()).trigger_id
        row = keeper.store.get(trigger_id)
        assert not cut(keeper, f"before commit {COMMITS + 1}", lambda: one_fire(keeper, row))
        assert len(keeper.orders()) == 1
    finally:
        keeper.close()
