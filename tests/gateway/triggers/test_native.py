"""GTT orders a broker keeps: journaled first, sent once, and ``unknown`` until the broker's list tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from brokers import dhan
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.errors import (
    BrokerDown,
    EntriesBlocked,
    InvalidRequest,
    LoginRequired,
    NotFound,
    OrderRejected,
    OutcomeUnknown,
    RateLimited,
)
from brokers.model import Gtt, GttPlacement, GttState, OrderStatus, Venue
from gateway.store import engine
from gateway.store.gtt import GttStore, NewGtt
from gateway.store.instruments import InstrumentStore
from gateway.trading.limiter import Lane, Limiter
from gateway.trading.reconcile import SettleRules
from gateway.triggers import native
from gateway.triggers.machine import Keeper, State
from gateway.triggers.native import BrokerGtts, BrokerParts
from gateway.triggers.parts import GttParts
from tests.gateway.store.rows import TODAY, market
from tests.gateway.trading.desks import WIDE, book_row, until
from tests.gateway.triggers.bench import SBIN, FakeTicks, oco, quote, single


class FakeForever:
    """A broker's list in memory. ``fail[call]``: errors to raise; ``("after", error)``: once it is done."""

    def __init__(self) -> None:
        self.rows: dict[str, Gtt] = {}
        self.calls: list[str] = []
        self.fail: dict[str, list] = {}
        self.shows_tags = True

    def _call(self, name: str, work) -> object:
        self.calls.append(name)
        found = self.fail.get(name)
        error = found.pop(0) if found else None
        if isinstance(error, tuple):
            work()
            raise error[1]
        if error is not None:
            raise error
        return work()

    def place_gtt(self, gtt, instrument, tag):
        def work() -> GttPlacement:
            number = f"F{len(self.rows) + 1}"
            row = Gtt(
                number, gtt.key, gtt.action, gtt.quantity, None, str(gtt.product), gtt.legs, GttState.ACTIVE,
                tag if self.shows_tags else "", placed_at=datetime.now(UTC),
            )  # fmt: skip
            self.rows[number] = row
            now = time.time_ns()
            return GttPlacement(number, now, now)

        return self._call("place", work)

    def modify_gtt(self, trigger_id, gtt, leg, instrument):
        def work() -> None:
            row = self.rows[trigger_id]
            legs = tuple(gtt.legs[n] if n == leg else old for n, old in enumerate(row.legs))
            self.rows[trigger_id] = replace(row, legs=legs, quantity=gtt.quantity)

        self._call(f"modify {leg}", work)

    def cancel_gtt(self, trigger_id):
        def work() -> None:
            self.rows[trigger_id] = replace(self.rows[trigger_id], state=GttState.CANCELLED)

        self._call("cancel", work)

    def gtts(self):
        return self._call("list", lambda: list(self.rows.values()))


class Rig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = FakeForever()
        self.blocked = ""
        self.logins = 0
        self.open()

    def open(self) -> None:
        clock = SystemClock()
        self.database = engine.open(self.path, Venue.SIM)
        table = InstrumentStore(self.database, clock)
        if not table.count():
            table.swap(market(), TODAY)
        self.store = GttStore(self.database, clock)
        self.limiter = Limiter(WIDE, clock)
        parts = GttParts(
            title="Dhan",
            store=self.store,
            desk=None,
            table=table,
            exchanges=dhan.SPEC.capabilities.exchanges,
            calendar=AlwaysOpen(),
            clock=clock,
            ticks=FakeTicks(),
            quotes=lambda keys: ({k: quote(k, 800.0) for k in keys}, {}),
            last_price=lambda key: None,
            blocked=lambda: self.blocked,
        )
        settle = SettleRules(horizon_s=0.2, gap_s=0.05, reads=3)
        self.gtts = BrokerGtts(parts, BrokerParts(self.rest, self.limiter, 1.0, self._login, settle))
        self.gtts.start()

    def _login(self) -> None:
        self.logins += 1

    def close(self) -> None:
        self.gtts.stop()
        self.database.close()

    def row(self, trigger_id: str):
        found = self.store.get(trigger_id)
        assert found is not None
        return found

    def kinds(self, trigger_id: str) -> list[str]:
        return [e["kind"] for e in self.store.events(self.row(trigger_id).id)]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(native, "LOOK_EVERY_S", 0.06)
    monkeypatch.setattr(native, "FIRST_LOOKS_S", (0.01, 0.01))
    one = Rig(tmp_path / "main.db")
    yield one
    one.close()


def test_the_intent_is_on_disk_before_the_first_byte(rig: Rig) -> None:
    seen = []
    placing = rig.rest.place_gtt

    def look(*args):
        seen.append([(r.known.state, bool(r.tag)) for r in rig.store.working()])
        return placing(*args)

    rig.rest.place_gtt = look
    answer = rig.gtts.place(single(), strategy="s")
    assert seen == [[(State.SENDING, True)]]
    assert (answer.ok, answer.trigger_id, answer.kept_by) == (True, "F1", Keeper.BROKER)
    assert "triggered by Dhan" in answer.message
    (row,) = rig.gtts.book()
    assert (row.strategy, row.state, row.legs) == ("s", "active", single().legs)


@pytest.mark.parametrize(
    ("error", "code", "sent"),
    [
        (OrderRejected("no", broker_code="DH-906"), "ORDER_REJECTED", True),
        (BrokerDown("no route"), "BROKER_DISCONNECTED", False),
        (LoginRequired("expired"), "AUTH_EXPIRED", True),
        (RateLimited("slow", retry_after_s=3), "RATE_LIMITED", True),
    ],
)
def test_a_refusal_is_the_brokers_and_final(rig: Rig, error, code: str, sent: bool) -> None:
    rig.rest.fail["place"] = [error]
    answer = rig.gtts.place(single())
    assert (answer.code, answer.state, answer.trigger_id) == (code, "rejected", "G1")
    assert rig.gtts.book() == []
    assert [r.reason for r in rig.gtts.book(everything=True)] == [str(error)]
    assert rig.logins == (code == "AUTH_EXPIRED")
    if code == "RATE_LIMITED":
        assert answer.retry_after_s == 3
        with pytest.raises(RateLimited):
            rig.limiter.acquire(Lane.ENTRY, 0.1)


@pytest.mark.parametrize("tags", [True, False], ids=["by tag", "by terms"])
def test_a_lost_answer_is_found_in_the_list_while_the_caller_waits(rig: Rig, tags: bool) -> None:
    rig.rest.shows_tags = tags
    rig.rest.fail["place"] = [("after", OutcomeUnknown("timeout"))]
    answer = rig.gtts.place(single())
    assert (answer.ok, answer.trigger_id) == (True, "F1")
    assert rig.rest.calls.count("place") == 1


def test_a_lost_answer_stays_unknown_until_three_readings_did_not_show_it(rig: Rig) -> None:
    rig.rest.fail["place"] = [OutcomeUnknown("timeout")]
    answer = rig.gtts.place(single())
    assert (answer.code, answer.state) == ("OUTCOME_UNKNOWN", "unknown")
    assert [r.state for r in rig.gtts.book()] == ["unknown"]
    until(lambda: rig.row(answer.trigger_id).known.state is State.REJECTED)
    assert "three readings" in rig.row("G1").known.reason
    assert rig.rest.calls.count("place") == 1


def test_a_list_that_cannot_be_read_proves_nothing(rig: Rig) -> None:
    rig.rest.fail["place"] = [OutcomeUnknown("timeout")]
    rig.rest.fail["list"] = [BrokerDown("no")] * 12
    rig.gtts.place(single())
    until(lambda: len(rig.rest.fail["list"]) < 2)
    assert rig.row("G1").known.state is State.UNKNOWN
    until(lambda: rig.row("G1").known.state is State.REJECTED)


def test_what_was_being_sent_at_a_crash_is_looked_for(rig: Rig) -> None:
    row, _ = rig.store.add(NewGtt(single(), Keeper.BROKER, "s", "TAG-OF-THE-CRASH"))
    assert row.known.state is State.SENDING
    rig.close()
    made = Gtt(
        "F9", SBIN, single().action, 5, None, "CNC", single().legs, GttState.ACTIVE, "TAG-OF-THE-CRASH"
    )
    rig.rest.rows["F9"] = made
    rig.open()
    until(lambda: rig.store.get("F9"))
    assert rig.row("F9").known.state is State.ACTIVE
    assert rig.rest.calls.count("place") == 0
    assert [r.strategy for r in rig.gtts.book()] == ["s"]


def test_another_gtt_with_the_same_terms_is_not_taken_for_ours(rig: Rig) -> None:
    rig.rest.shows_tags = False
    assert rig.gtts.place(single()).trigger_id == "F1"
    rig.rest.fail["place"] = [OutcomeUnknown("timeout")]
    answer = rig.gtts.place(single())
    assert answer.code == "OUTCOME_UNKNOWN", "the only one listed is the first one's"
    until(lambda: rig.row(answer.trigger_id).known.state is State.REJECTED)
    assert rig.row("F1").known.state is State.ACTIVE


def test_only_the_legs_that_differ_are_changed(rig: Rig) -> None:
    rig.gtts.place(oco())
    stop, target = oco().legs
    change = replace(oco(), legs=(stop, replace(target, trigger_price=Decimal(830))))
    assert rig.gtts.modify("F1", change).ok
    assert [c for c in rig.rest.calls if c.startswith("modify")] == ["modify 1"]
    assert rig.row("F1").known.terms == change
    assert rig.kinds("F1")[2:4] == ["modify leg 2: sending", "modified"]


def test_a_change_of_both_legs_that_stops_half_way_says_so(rig: Rig) -> None:
    rig.gtts.place(oco())
    rig.rest.fail["modify 1"] = [OrderRejected("no")]
    answer = rig.gtts.modify("F1", replace(oco(), quantity=7))
    assert (answer.code, answer.message) == ("ORDER_REJECTED", "leg 1 was changed, leg 2 was not: no")


def test_a_lost_change_is_judged_by_the_list(rig: Rig) -> None:
    rig.gtts.place(single())
    rig.rest.fail["modify 0"] = [("after", OutcomeUnknown("timeout")), OutcomeUnknown("timeout")]
    assert rig.gtts.modify("F1", replace(single(), quantity=7)).ok
    answer = rig.gtts.modify("F1", replace(single(), quantity=8))
    assert (answer.code, rig.row("F1").known.pending) == ("OUTCOME_UNKNOWN", "modify")
    until(lambda: not rig.row("F1").known.pending)
    assert rig.row("F1").known.terms.quantity == 7


def test_cancel(rig: Rig) -> None:
    rig.gtts.place(single())
    rig.rest.fail["cancel"] = [OrderRejected("not now")]
    assert rig.gtts.cancel("F1").code == "ORDER_REJECTED"
    assert rig.gtts.cancel("F1").ok
    assert rig.gtts.book() == []
    again = rig.gtts.cancel("F1")
    assert (again.code, again.state) == ("ORDER_NOT_OPEN", "cancelled")
    with pytest.raises(NotFound):
        rig.gtts.cancel("F7")


def test_a_lost_cancel_is_judged_by_the_list(rig: Rig) -> None:
    rig.gtts.place(single())
    rig.rest.fail["cancel"] = [OutcomeUnknown("timeout"), ("after", OutcomeUnknown("timeout"))]
    answer = rig.gtts.cancel("F1")
    assert answer.code == "OUTCOME_UNKNOWN"
    until(lambda: not rig.row("F1").known.pending)
    assert rig.row("F1").known.state is State.ACTIVE, "the list shows it armed"
    assert rig.gtts.cancel("F1").ok
    assert rig.row("F1").known.state is State.CANCELLED


def test_one_placed_elsewhere_is_shown_changed_and_cancelled(rig: Rig) -> None:
    rig.rest.rows["X1"] = Gtt("X1", SBIN, oco().action, 5, None, "CNC", oco().legs, GttState.ACTIVE)
    rig.rest.rows["X2"] = replace(rig.rest.rows["X1"], trigger_id="X2", product="MTF")
    assert [(r.trigger_id, r.product, r.strategy) for r in rig.gtts.book()] == [
        ("X1", "CNC", ""),
        ("X2", "MTF", ""),
    ]
    assert rig.gtts.modify("X1", replace(oco(), quantity=6)).ok
    assert rig.rest.rows["X1"].quantity == 6
    assert rig.gtts.cancel("X1").ok
    with pytest.raises(InvalidRequest, match="only at the broker"):
        rig.gtts.modify("X2", oco())


def test_a_triggered_one_leaves_the_book_and_its_order_is_named(rig: Rig) -> None:
    rig.gtts.place(single())
    tag = rig.row("F1").tag
    rig.gtts.on_order(book_row("O5", tag, action=single().action, status=OrderStatus.OPEN))
    rig.gtts.on_order(book_row("O6", "SOMEBODY-ELSES-1"))
    rig.rest.rows["F1"] = replace(rig.rest.rows["F1"], state=GttState.TRIGGERED)
    assert rig.gtts.book() == []
    (row,) = rig.gtts.book(everything=True)
    assert (row.state, row.order_id) == ("triggered", "O5")


def test_what_the_broker_lists_no_more_is_not_called_active(rig: Rig) -> None:
    rig.gtts.place(single())
    kept = rig.rest.rows.pop("F1")
    assert [r.state for r in rig.gtts.book()] == ["active"], "its list may be a moment behind"
    until(lambda: rig.gtts.book() == [])
    assert [r.state for r in rig.gtts.book(everything=True)] == ["gone"]
    rig.rest.rows["F1"] = kept
    assert [r.state for r in rig.gtts.book()] == ["active"]


def test_an_end_cannot_be_promised(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="leave expires_at out"):
        rig.gtts.place(single(), expires_ns=time.time_ns() + 10**12)
    rig.blocked = "panic"
    with pytest.raises(EntriesBlocked):
        rig.gtts.place(single())
    assert rig.rest.calls == []


def test_the_same_id_is_sent_once(rig: Rig) -> None:
    first = rig.gtts.place(single(), client_order_id="mine")
    again = rig.gtts.place(single(), client_order_id="mine")
    assert (again.trigger_id, again.repeated) == (first.trigger_id, True)
    assert rig.rest.calls.count("place") == 1


def test_no_slot_no_trace(rig: Rig) -> None:
    rig.limiter.close(Lane.ENTRY, 30)
    with pytest.raises(RateLimited):
        rig.gtts.place(single())
    assert (rig.rest.calls, rig.store.working()) == ([], [])


def test_a_book_that_cannot_be_read_is_an_error(rig: Rig) -> None:
    rig.gtts.place(single())
    rig.rest.fail["list"] = [BrokerDown("no"), LoginRequired("expired")]
    with pytest.raises(BrokerDown):
        rig.gtts.book()
    with pytest.raises(LoginRequired):
        rig.gtts.book()
    assert rig.logins == 1


# -- panic ------------------------------------------------------------------------------------------------


def test_a_block_that_falls_while_one_is_journaled_keeps_it_here(rig: Rig) -> None:
    words = iter(["", "panic"])
    rig.gtts._parts = replace(rig.gtts._parts, blocked=lambda: next(words))
    answer = rig.gtts.place(single())
    assert (answer.code, answer.state, rig.rest.calls) == ("ENTRIES_BLOCKED", "rejected", [])


def test_what_the_list_shows_is_called_off_whoever_placed_it(rig: Rig) -> None:
    rig.gtts.place(single())
    row = Gtt("X1", SBIN, oco().action, 5, None, "CNC", oco().legs, GttState.ACTIVE)
    rig.rest.rows |= {"X1": row, "X2": replace(row, trigger_id="X2", product="MTF")}
    assert rig.gtts.standing() == {"F1": "active", "X1": "active", "X2": "active"}
    reads = rig.rest.calls.count("list")
    for trigger_id in ("F1", "X1", "X2"):
        assert rig.gtts.call_off(trigger_id).ok
    assert rig.rest.calls.count("list") == reads
    assert set(rig.gtts.standing().values()) == {"cancelled"}
    assert rig.gtts.call_off("F1").code == "ORDER_NOT_OPEN"
    with pytest.raises(NotFound):
        rig.gtts.call_off("X7")


def test_a_cancel_the_broker_took_and_forgot_is_seen_and_sent_again(rig: Rig) -> None:
    rig.gtts.place(single())
    rig.gtts.standing()
    cancelling = rig.rest.cancel_gtt
    rig.rest.cancel_gtt = lambda trigger_id: None
    assert rig.gtts.call_off("F1").ok
    assert rig.row("F1").known.state is State.CANCELLED
    assert rig.gtts.standing() == {"F1": "active"}, "the list decides"
    rig.rest.cancel_gtt = cancelling
    assert rig.gtts.call_off("F1").ok
    assert rig.gtts.standing() == {"F1": "cancelled"}


def test_a_change_that_grows_is_asked_for_before_anything_is_sent(rig: Rig) -> None:
    rig.gtts.place(single(), strategy="s")
    asked: list[str] = []

    def grows(strategy: str) -> None:
        asked.append(strategy)
        raise EntriesBlocked("not yours")

    with pytest.raises(EntriesBlocked):
        rig.gtts.modify("F1", single(quantity=6), grows)
    assert (asked, [c for c in rig.rest.calls if c.startswith("modify")]) == (["s"], [])
    assert rig.gtts.modify("F1", single(quantity=4), grows).ok
