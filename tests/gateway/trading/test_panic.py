"""Panic blocks before anything else, cancels until nothing is left, and says the truth meanwhile."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace

import pytest

from brokers.clock import SystemClock
from brokers.contract import RateWindow
from brokers.errors import BrokerDown, EntriesBlocked, OrderRejected, StoreError
from brokers.model import Action, OrderStatus, Position, PriceType
from gateway import panicfile
from gateway.panicfile import NAME, PanicFile, reports, spoken
from gateway.trading import panic
from gateway.trading.limiter import Limiter
from tests.gateway.trading.desks import SBIN, WIDE, Bench, book_row, until
from tests.gateway.trading.test_desk_changes import change


@pytest.fixture
def home(tmp_path):
    """Makes instances of one home: they share the run folder, nothing else."""
    made = []

    def instance(name: str, **more) -> Bench:
        bench = Bench(tmp_path / f"{name}.db", instance=name, panic_file=tmp_path / "run" / NAME, **more)
        made.append(bench)
        return bench

    instance.run = tmp_path / "run"
    yield instance
    for bench in made:
        bench.close()


@pytest.fixture
def bench(home):
    bench = home("one")
    bench.open()
    return bench


def blocked(bench: Bench) -> bool:
    try:
        bench.place()
    except EntriesBlocked:
        return True
    return False


def done(bench: Bench, serial: int, seconds: float = 5.0) -> panic.Report:
    report = bench.desk.guards.canceller.wait(serial, seconds)
    assert report.done, report
    return report


def fates(report: panic.Report) -> dict[str, str]:
    return {one.orderid: one.state.value for one in report.orders}


def test_it_blocks_cancels_and_says_what_became_of_each_order(bench):
    ids = [bench.place().order_id for _ in range(3)]
    bench.rest.book["77"] = book_row("77")
    word = bench.desk.guards.panic("enough")
    assert blocked(bench)
    report = done(bench, word.serial)
    assert fates(report) == dict.fromkeys([*ids, "77"], "cancelled")
    assert bench.desk.status().blocked == "enough"
    assert bench.desk.status().panic["counts"]["cancelled"] == 4
    bench.desk.allow_entries()
    assert bench.place().ok


def test_an_exit_passes_and_a_change_of_an_entry_does_not(bench):
    order_id = bench.place().order_id
    exit_id = bench.place(is_exit=True, action=Action.SELL).order_id
    bench.desk.guards.panic("stop", "block")
    with pytest.raises(EntriesBlocked):
        bench.desk.modify(change(order_id), received_ns=time.time_ns())
    assert bench.desk.modify(change(exit_id), received_ns=time.time_ns()).ok
    assert bench.place(is_exit=True, action=Action.SELL).ok
    # block alone leaves orders working
    assert bench.rest.count("cancel") == 0


def test_every_instance_of_the_home_is_blocked_and_cancels(home):
    one, two, late = home("one"), home("two"), home("late")
    one.open(), two.open()
    order_id = two.place().order_id
    word = one.desk.guards.panic("enough")
    assert blocked(two)
    until(lambda: two.rest.book[order_id].status is OrderStatus.CANCELLED)
    until(lambda: reports(home.run / panicfile.FOLDER, word.serial).get("two", {}).get("done"))
    assert set(reports(home.run / panicfile.FOLDER, word.serial)) == {"one", "two"}
    # one that was down starts blocked, and cancels what it finds open
    late.rest.book["5"] = book_row("5")
    late.open()
    assert blocked(late)
    done(late, word.serial)
    assert late.rest.book["5"].status is OrderStatus.CANCELLED
    late.desk.allow_entries()
    assert not any(blocked(bench) for bench in (one, two, late))


def test_it_holds_over_restarts_without_the_file_too(home):
    bench = home("one")
    bench.open()
    bench.desk.guards.panic("enough")
    until(lambda: bench.journal.fact(panic.DONE))
    (home.run / NAME).unlink()
    bench.restart()
    assert blocked(bench)
    bench.desk.allow_entries()
    bench.restart()
    assert not blocked(bench)


def test_a_resume_that_an_instance_slept_through_counts(home):
    one, two = home("one"), home("two")
    one.open(), two.open()
    one.desk.guards.panic("x", "block")
    until(lambda: json.loads(two.journal.blocked() or "{}").get("active"))
    two.close()
    one.desk.allow_entries()
    two.open()
    assert not blocked(two)


def test_a_file_that_cannot_be_read_blocks_and_resume_mends_it(bench, home):
    home.run.mkdir(exist_ok=True)
    (home.run / NAME).write_text("{half a")
    with pytest.raises(EntriesBlocked, match="cannot be read"):
        bench.place()
    bench.desk.allow_entries()
    assert bench.place().ok


def test_what_cannot_be_written_still_blocks_here_and_says_so(home, tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    bench = home("one")
    bench.open()
    with pytest.raises(StoreError, match="on this instance alone"):
        bench.desk.guards.panic("enough")
    assert blocked(bench)
    with pytest.raises(StoreError, match="stay blocked"):
        bench.desk.allow_entries()
    assert blocked(bench)


def test_the_block_is_on_disk_when_the_call_returns(bench, home):
    word = bench.desk.guards.panic("enough")
    assert PanicFile(home.run / NAME).read() == word
    assert panicfile.Panic.from_text(bench.journal.blocked()) == word


def test_cancels_that_were_left_go_on_after_a_kill(home):
    bench = home("one")
    bench.open()
    ids = [bench.place().order_id for _ in range(3)]
    bench.rest.on_change = lambda kind, order: BrokerDown("no route")
    word = bench.desk.guards.panic("enough")
    report = bench.desk.guards.canceller.wait(word.serial, 0.5)
    assert not report.done
    assert set(fates(report).values()) == {"going"}
    assert {one.code for one in report.orders} == {"BROKER_DISCONNECTED"}
    # the process dies here: nothing of the panic but the flag is kept
    bench.rest.on_change = lambda kind, order: None
    bench.restart()
    done(bench, word.serial)
    assert {bench.rest.book[order_id].status for order_id in ids} == {OrderStatus.CANCELLED}
    cancels = bench.rest.count("cancel")
    bench.restart()
    assert done(bench, word.serial).done
    # it is not carried out twice
    bench.rest.book["9"] = book_row("9")
    until(lambda: bench.desk.guards.canceller.report().serial == word.serial)
    bench.desk.guards.canceller.step()
    assert bench.rest.count("cancel") == cancels


def test_an_order_the_broker_will_not_cancel_is_failed_and_named(bench, monkeypatch):
    monkeypatch.setattr(panic, "LONGEST_PAUSE_S", 0.05)
    good, bad = bench.place().order_id, bench.place().order_id
    bench.rest.on_change = lambda kind, order: OrderRejected("frozen") if order.order_id == bad else None
    report = done(bench, bench.desk.guards.panic("enough").serial, 10)
    assert fates(report) == {good: "cancelled", bad: "failed"}
    failed = next(one for one in report.orders if one.orderid == bad)
    assert (failed.code, failed.message) == ("ORDER_REJECTED", "frozen")


def test_a_book_that_cannot_be_read_is_said_and_tried_again(bench):
    order_id = bench.place().order_id
    bench.rest.on_read = lambda name: (_ for _ in ()).throw(BrokerDown("no route"))
    word = bench.desk.guards.panic("enough")
    report = bench.desk.guards.canceller.wait(word.serial, 0.5)
    assert not report.done
    assert "could not be read" in report.waiting
    assert report.orders == ()
    bench.rest.on_read = lambda name: None
    assert fates(done(bench, word.serial)) == {order_id: "cancelled"}


def test_a_taken_cancel_counts_only_when_the_book_shows_it(bench):
    order_id = bench.place().order_id
    real = bench.rest.cancel
    asked = []

    def cancel(order_id):
        asked.append(order_id)
        if len(asked) > 1:
            real(order_id)

    bench.rest.cancel = cancel
    report = done(bench, bench.desk.guards.panic("enough").serial)
    assert fates(report) == {order_id: "cancelled"}
    assert len(asked) == 2


def test_an_order_executed_meanwhile_is_not_called_cancelled(bench):
    order_id = bench.place().order_id

    def filled(kind, order):
        row = bench.rest.book[order.order_id]
        bench.rest.book[order.order_id] = replace(row, status=OrderStatus.COMPLETE, filled_quantity=5)
        return OrderRejected("complete already")

    bench.rest.on_change = filled
    report = done(bench, bench.desk.guards.panic("enough").serial)
    assert fates(report) == {order_id: "ended"}


def test_an_order_on_its_way_when_the_block_falls_is_cancelled_too(bench):
    inside, go = threading.Event(), threading.Event()

    def slow(order):
        inside.set()
        assert go.wait(5)

    bench.rest.on_place = slow
    placed = []
    thread = threading.Thread(target=lambda: placed.append(bench.place()))
    thread.start()
    assert inside.wait(5)
    word = bench.desk.guards.panic("enough")
    assert not bench.desk.guards.canceller.wait(word.serial, 0.5).done
    go.set()
    thread.join()
    assert fates(done(bench, word.serial)) == {placed[0].order_id: "cancelled"}


def test_an_order_journaled_after_the_block_does_not_leave(bench):
    """It had passed every check when the block fell, and panic did not see its row."""
    add = bench.journal.add

    def late(intent, times):
        bench.desk.guards.panic("enough", "block")
        return add(intent, times)

    bench.journal.add = late
    answer = bench.place()
    assert (answer.code, bench.rest.count("place")) == ("ENTRIES_BLOCKED", 0)
    row = bench.journal.get(answer.journal_id)
    assert row.known.state == "rejected"


def test_an_order_that_waits_for_its_slot_does_not_outlive_the_block(home):
    limiter = Limiter(replace(WIDE, order_windows=(RateWindow(1, 0.6),)), SystemClock())
    bench = home("one", limiter=limiter)
    bench.open()
    assert bench.place().ok
    errors = []

    def late():
        try:
            bench.place()
        except EntriesBlocked as exc:
            errors.append(exc)

    thread = threading.Thread(target=late)
    thread.start()
    bench.desk.guards.panic("enough", "block")
    thread.join()
    assert len(errors) == bench.rest.count("place") == 1
    assert len(bench.journal.since(0)) == 1


def test_forty_orders_go_as_fast_as_the_window_lets_them(home):
    """No cancel is given up or counted as refused because it has to wait for its slot."""
    limiter = Limiter(replace(WIDE, order_windows=(RateWindow(9, 0.25),)), SystemClock())
    bench = home("one", limiter=limiter)
    bench.rest.book = {str(n): book_row(str(n)) for n in range(40)}
    bench.open()
    began = time.monotonic()
    word = bench.desk.guards.panic("enough")
    first = bench.desk.guards.canceller.wait(word.serial, 0.1)
    assert not first.done
    report = done(bench, word.serial, 20)
    assert report.count(panic.Fate.CANCELLED) == 40
    assert bench.rest.count("cancel") == 40
    print(f"40 cancels took {time.monotonic() - began:.2f} s")


def test_close_closes_positions_after_the_orders(bench):
    order_id = bench.place().order_id
    bench.rest.position_rows = [Position(SBIN, "MIS", 7, 1, None, None)]
    report = done(bench, bench.desk.guards.panic("enough", "close").serial, 10)
    assert fates(report)[order_id] == "cancelled"
    assert report.closed == 1
    exits = [o for o in bench.rest.book.values() if o.price_type is PriceType.MARKET]
    assert [(o.action, o.quantity) for o in exits] == [(Action.SELL, 7)]


def test_a_look_costs_a_stat_and_a_new_word_counts_at_once(tmp_path, monkeypatch):
    file = PanicFile(tmp_path / NAME)
    assert file.read() is None
    word = spoken(True)
    file.write(word)
    assert file.read() == word
    reads = []
    monkeypatch.setattr(panicfile.Panic, "from_text", classmethod(lambda cls, text: reads.append(text)))
    assert file.read() == word
    assert reads == []
    monkeypatch.undo()
    other = spoken(False, after=word.serial)
    file.write(other)
    assert file.read() == other


def test_serials_grow_even_when_the_clock_goes_back():
    assert spoken(True, after=10, now_ns=lambda: 5).serial == 11


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"serial": 1}', '{"serial": "1"}'])
def test_nonsense_is_not_a_word(text):
    with pytest.raises(ValueError, match=r".+"):
        panicfile.Panic.from_text(text)


# -- GTT orders -------------------------------------------------------------------------------------------


class Gtts:
    """Those of one desk in memory: state by trigger id, and what a cancellation answers."""

    def __init__(self, **states: str) -> None:
        self.states = dict(states)
        self.cancelled: list[str] = []
        self.answer: dict[str, list] = {}
        self.unreadable: list[Exception] = []
        self.on_cancel = lambda trigger_id: None

    def standing(self):
        if self.unreadable:
            raise self.unreadable.pop(0)
        return dict(self.states)

    def call_off(self, trigger_id):
        self.cancelled.append(trigger_id)
        self.on_cancel(trigger_id)
        for given in self.answer.get(trigger_id, []):
            self.answer[trigger_id].remove(given)
            if isinstance(given, Exception):
                raise given
            return given
        self.states[trigger_id] = "cancelled"
        return Said("", "")


@dataclass
class Said:
    code: str
    message: str


def gtt_fates(report: panic.Report) -> dict[str, str]:
    return {one.orderid: one.state.value for one in report.gtts}


def with_gtts(bench: Bench, **states: str) -> Gtts:
    gtts = Gtts(**states)
    bench.desk.guards.canceller.gtts.attach(gtts)
    return gtts


def test_gtt_orders_are_cancelled_and_those_that_ended_left_alone(bench, home):
    gtts = with_gtts(bench, F1="active", F2="cancelled", F3="triggered")
    order_id = bench.place().order_id
    word = bench.desk.guards.panic("enough")
    report = done(bench, word.serial)
    assert (gtt_fates(report), fates(report)) == ({"F1": "cancelled"}, {order_id: "cancelled"})
    assert gtts.cancelled == ["F1"]
    assert bench.desk.status().panic["gtt_counts"]["cancelled"] == 1
    told = reports(home.run / panicfile.FOLDER, word.serial)["one"]
    assert [(row["trigger_id"], row["state"]) for row in told["gtts"]] == [("F1", "cancelled")]


def test_a_taken_cancellation_counts_when_the_book_shows_it(bench):
    gtts = with_gtts(bench, F1="active")
    gtts.answer["F1"] = [Said("", "")]  # taken, and nothing happens
    report = bench.desk.guards.canceller.wait(bench.desk.guards.panic("enough").serial, 0.25)
    assert not report.done
    assert gtt_fates(report) == {"F1": "going"}
    report = done(bench, report.serial)
    assert gtts.cancelled == ["F1", "F1"]
    assert gtt_fates(report) == {"F1": "cancelled"}


def test_one_that_fires_while_it_is_cancelled_is_cancelled_as_an_order(bench):
    gtts = with_gtts(bench, F1="active")

    def fire(trigger_id):
        bench.rest.book["88"] = book_row("88")
        gtts.states["F1"] = "triggered"

    gtts.on_cancel = fire
    gtts.answer["F1"] = [OrderRejected("not active")]
    report = done(bench, bench.desk.guards.panic("enough").serial)
    assert (gtt_fates(report), fates(report)) == ({"F1": "ended"}, {"88": "cancelled"})


def test_one_of_unknown_outcome_is_waited_for_under_its_number(bench):
    gtts = with_gtts(bench, G4="unknown")
    word = bench.desk.guards.panic("enough")
    report = bench.desk.guards.canceller.wait(word.serial, 0.3)
    assert (report.done, gtt_fates(report), gtts.cancelled) == (False, {"G4": "going"}, [])
    del gtts.states["G4"]
    gtts.states["F9"] = "active"
    report = done(bench, word.serial)
    assert gtt_fates(report) == {"F9": "cancelled"}


def test_one_that_is_firing_is_cancelled_once_its_order_was_refused(bench):
    gtts = with_gtts(bench, F1="triggering")
    word = bench.desk.guards.panic("enough")
    until(lambda: gtt_fates(bench.desk.guards.canceller.report()) == {"F1": "going"})
    assert gtts.cancelled == []
    gtts.states["F1"] = "active"
    assert gtt_fates(done(bench, word.serial)) == {"F1": "cancelled"}


def test_a_gtt_book_that_cannot_be_read_holds_up_no_order_and_is_said(bench):
    gtts = with_gtts(bench, F1="active")
    gtts.unreadable = [BrokerDown("no list")] * 3
    order_id = bench.place().order_id
    word = bench.desk.guards.panic("enough")
    until(lambda: bench.rest.book[order_id].status is OrderStatus.CANCELLED)
    until(lambda: "GTT book could not be read" in bench.desk.guards.canceller.report().waiting)
    assert gtt_fates(done(bench, word.serial)) == {"F1": "cancelled"}


def test_a_gtt_the_broker_will_not_cancel_is_failed_and_named(bench, monkeypatch):
    monkeypatch.setattr(panic, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(panic, "FIRST_PAUSE_S", 0.02)
    gtts = with_gtts(bench, F1="active")
    gtts.answer["F1"] = [Said("ORDER_REJECTED", "frozen") for _ in range(9)]
    report = done(bench, bench.desk.guards.panic("enough").serial, 10)
    [one] = report.gtts
    assert (one.state, one.code, one.message) == ("failed", "ORDER_REJECTED", "frozen")
    assert len(gtts.cancelled) == 6


def test_block_alone_leaves_them_and_names_them(bench):
    gtts = with_gtts(bench, F1="active")
    report = done(bench, bench.desk.guards.panic("enough", "block").serial)
    assert (gtt_fates(report), gtts.cancelled) == ({"F1": "left"}, [])
    report = done(bench, bench.desk.guards.panic("more", "cancel").serial)
    assert gtt_fates(report) == {"F1": "cancelled"}
