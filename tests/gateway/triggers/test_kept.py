"""GTT orders of the gateway, from the price to one order: threads, database and order desk are real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import SystemClock
from brokers.errors import (
    BrokerDown,
    EntriesBlocked,
    InvalidRequest,
    NotFound,
    OrderRejected,
    OutcomeUnknown,
)
from brokers.model import InstrumentKey, PriceType
from gateway.store.gtt import GttStore
from gateway.triggers import runner
from tests.gateway.trading.desks import until
from tests.gateway.triggers.bench import SBIN, TOPIC, Keeper, gtt, leg, oco, single


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    monkeypatch.setattr(runner, "BACKOFF_S", (0.02,))
    monkeypatch.setattr(runner, "CHORES_S", 0.02)
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.02)
    one = Keeper(tmp_path / "main.db")
    one.quotes[SBIN] = 800.0
    one.open()
    until(lambda: one.ticks.listeners)
    yield one
    one.close()


def placed(keeper: Keeper, request=None, **more) -> str:
    answer = keeper.gtts.place(request or single(), **more)
    assert answer.ok, answer
    until(lambda: SBIN in keeper.gtts._runner._watched.rows)
    return answer.trigger_id


def test_the_answer_names_the_keeper_and_what_that_means(keeper: Keeper) -> None:
    answer = keeper.gtts.place(single(), strategy="s")
    assert answer.kept_by == "gateway"
    assert answer.message.startswith("Kotak keeps no GTT orders: this gateway keeps it")
    day = datetime.now(UTC).astimezone().strftime("%y")
    assert answer.trigger_id.startswith(f"GTT-{day}")
    (row,) = keeper.gtts.book()
    assert (row.trigger_id, row.state, row.strategy) == (answer.trigger_id, "active", "s")


def test_it_fires_once_when_the_price_is_reached(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    keeper.ticks.send(790.05)
    keeper.ticks.send(789.95)
    keeper.ticks.send(789.9)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert keeper.orders() == [("SELL", 5, Decimal("789.5"))]
    row = keeper.store.get(trigger_id)
    assert row.known.order_id in keeper.rest.book
    assert row.known.seen_price == Decimal("789.95")
    assert keeper.gtts.book() == []
    assert [r.trigger_id for r in keeper.gtts.book(everything=True)] == [trigger_id]


def test_a_price_that_does_not_reach_it_sends_nothing(keeper: Keeper) -> None:
    trigger_id = placed(keeper, single("810", rises=True))
    for price in (809.95, 790.0, 800.0):
        keeper.ticks.send(price)
    keeper.ticks.send(810.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert len(keeper.orders()) == 1
    assert keeper.store.get(trigger_id).known.seen_price == 810


@pytest.mark.parametrize(("price", "leg", "limit"), [(789.0, 0, "789.5"), (821.0, 1, "819.5")])
def test_one_leg_of_an_oco_fires_and_ends_the_other(
    keeper: Keeper, price: float, leg: int, limit: str
) -> None:
    trigger_id = placed(keeper, oco())
    keeper.ticks.send(price)
    until(lambda: keeper.state(trigger_id) == "triggered")
    for other in (789.0, 821.0):
        keeper.ticks.send(other)
    keeper.gtts._runner.chores()
    assert keeper.orders() == [("SELL", 5, Decimal(limit))]
    assert keeper.store.get(trigger_id).known.leg == leg


def test_a_market_gtt_sends_a_market_order(keeper: Keeper) -> None:
    trigger_id = placed(keeper, single(price_type=PriceType.MARKET))
    keeper.ticks.send(780.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    (order,) = keeper.rest.book.values()
    assert (order.price_type, order.price) == (PriceType.MARKET, 0)


@pytest.mark.parametrize(
    "bad",
    [{"age_s": 6.0}, {"ltt": 1_000_000_000_000}, {"topic": b"NSE_TCS_LTP"}, {"ltp": 0}, {"ltp": "x"}],
    ids=["stale", "yesterday's trade", "another symbol", "no price", "garbage"],
)
def test_what_is_no_price_of_now_fires_nothing(keeper: Keeper, bad: dict) -> None:
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0, **bad)
    keeper.gtts._runner.chores()
    assert keeper.gtts._runner._queued == set()
    assert keeper.state(trigger_id) == "active"
    keeper.ticks.send(780.0)  # it was alive all the time
    until(lambda: keeper.state(trigger_id) == "triggered")


def test_a_closed_market_fires_nothing(tmp_path: Path) -> None:
    class Closed(FileCalendar):
        def is_open(self, exchange, at):
            return False

    one = Keeper(tmp_path / "main.db", calendar=Closed())
    one.quotes[SBIN] = 800.0
    one.open()
    try:
        trigger_id = placed(one)
        one.ticks.send(700.0)
        one.quotes[SBIN] = 700.0
        for _ in range(3):
            one.gtts._runner.look_at_quiet()
            one.gtts._runner.chores()
        # asked for once for the check of its terms, once for the day's extremes, and never again
        assert (one.state(trigger_id), one.quoted) == ("active", 2)
    finally:
        one.close()


def test_a_jump_while_nobody_looked_fires_after_the_start(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    keeper.close()
    keeper.quotes[SBIN] = 750.0
    keeper.open()
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert keeper.orders() == [("SELL", 5, Decimal("789.5"))]


def test_armed_symbols_are_asked_of_the_feed_until_they_end(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    assert keeper.gtts.keys() == {SBIN}
    until(lambda: SBIN in keeper.ticks.wanted)
    keeper.gtts.cancel(trigger_id)
    assert keeper.gtts.keys() == set()


def test_a_cancelled_one_never_fires(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    assert keeper.gtts.cancel(trigger_id).ok
    keeper.ticks.send(700.0)
    keeper.gtts._runner.chores()
    again = keeper.gtts.cancel(trigger_id)
    assert (again.code, again.state) == ("ORDER_NOT_OPEN", "cancelled")
    assert keeper.orders() == []


def test_a_changed_one_fires_by_its_new_terms(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    assert keeper.gtts.modify(trigger_id, single("780", price="779.5", quantity=7)).ok
    until(lambda: keeper.gtts._runner._watched.rows[SBIN][0].known.terms.quantity == 7)
    keeper.ticks.send(785.0)
    keeper.ticks.send(779.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert keeper.orders() == [("SELL", 7, Decimal("779.5"))]


@pytest.mark.parametrize("trigger", ["790.03", "801"], ids=["off the tick", "reached already"])
def test_a_bad_change_is_refused_and_the_old_terms_stay(keeper: Keeper, trigger: str) -> None:
    trigger_id = placed(keeper)
    with pytest.raises(InvalidRequest):
        keeper.gtts.modify(trigger_id, single(trigger))
    assert keeper.store.get(trigger_id).known.terms == single()


def test_a_price_compared_with_old_terms_does_not_fire_new_ones(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    runner_ = keeper.gtts._runner
    old = runner_._watched
    keeper.gtts.modify(trigger_id, single("700", price="699.5"))
    until(lambda: runner_._watched is not old)
    runner_._watched = old  # a tick that was faster than the reload
    keeper.ticks.send(785.0)
    until(lambda: not runner_._queued)
    runner_.chores()
    assert (keeper.state(trigger_id), keeper.orders()) == ("active", [])


@pytest.mark.parametrize(
    "other",
    [
        oco(),
        single(key=InstrumentKey("NSE", "TCS")),
        replace(single(), action=single().action.opposite),
    ],
    ids=["type", "instrument", "side"],
)
def test_a_change_may_not_make_another_order_of_it(keeper: Keeper, other) -> None:
    trigger_id = placed(keeper)
    with pytest.raises(InvalidRequest, match="cannot be changed"):
        keeper.gtts.modify(trigger_id, other)


def test_it_expires(keeper: Keeper) -> None:
    soon = time.time_ns() + 150_000_000
    trigger_id = placed(keeper, expires_ns=soon)
    until(lambda: keeper.state(trigger_id) == "expired")
    keeper.ticks.send(700.0)
    keeper.gtts._runner.chores()
    assert keeper.orders() == []
    with pytest.raises(InvalidRequest, match="past"):
        keeper.gtts.place(single(), expires_ns=soon)


def test_a_refused_order_fails_it_with_the_brokers_words(keeper: Keeper) -> None:
    keeper.rest.on_place = lambda order: OrderRejected("no margin", code="INSUFFICIENT_MARGIN")
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0)
    until(lambda: keeper.state(trigger_id) == "failed")
    (row,) = keeper.gtts.book(everything=True)
    assert (row.code, row.reason) == ("INSUFFICIENT_MARGIN", "no margin")
    assert keeper.gtts.book() == []
    assert keeper.rest.count("place") == 1


def test_an_order_that_never_left_is_tried_again_under_another_name(keeper: Keeper) -> None:
    errors = [BrokerDown("no route"), BrokerDown("no route")]
    keeper.rest.on_place = lambda order: errors.pop(0) if errors else None
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert len(keeper.orders()) == 1
    names = [e["detail"] for e in keeper.store.events(keeper.store.get(trigger_id).id)]
    assert [f"gtt:{trigger_id}:1" in names[2], f"gtt:{trigger_id}:1:3" in names[4]] == [True, True]


def test_it_gives_up_after_a_while(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_FOR_S", 0.2)
    keeper.rest.on_place = lambda order: BrokerDown("no route")
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0)
    until(lambda: keeper.state(trigger_id) == "failed")
    assert keeper.store.get(trigger_id).known.code == "GAVE_UP"
    assert keeper.orders() == []


def test_a_lost_answer_is_looked_for_and_nothing_is_sent_again(keeper: Keeper) -> None:
    def lost(order):
        keeper.rest.book[order.order_id] = order
        return OutcomeUnknown("timeout")

    keeper.rest.on_read = lambda name: None
    keeper.rest.on_place = lost
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert (keeper.rest.count("place"), len(keeper.orders())) == (1, 1)


def test_an_order_of_unknown_outcome_is_waited_for_and_never_sent_again(keeper: Keeper) -> None:
    blind = [True]

    def lost(order):
        keeper.rest.book[order.order_id] = order
        return OutcomeUnknown("timeout")

    def read(name: str) -> None:
        if blind[0]:
            raise BrokerDown("no book")

    keeper.rest.on_place, keeper.rest.on_read = lost, read
    trigger_id = placed(keeper)
    keeper.ticks.send(700.0)
    until(lambda: keeper.rest.count("place"))
    # the desk has answered, a few times: it does not know
    until(lambda: any(c.looks >= 3 for c in list(keeper.gtts._runner._cases.values())))
    assert [(r.state, r.kept_by) for r in keeper.gtts.book()] == [("triggering", "gateway")]
    blind[0] = False
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert (keeper.rest.count("place"), len(keeper.orders())) == (1, 1)


def test_a_trigger_already_reached_is_refused(keeper: Keeper) -> None:
    for request in (single("800"), single("801"), single("799.95", rises=True), oco_around("800.05")):
        with pytest.raises(InvalidRequest) as caught:
            keeper.gtts.place(request)
        assert caught.value.code == "INVALID_TRIGGER"
    assert keeper.store.working() == []


def oco_around(lower: str):
    return gtt(leg(lower, "789.5"), leg("820", "819.5", rises=True))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (single("790.03"), "PRICE_OUT_OF_RANGE"),
        (single(price="789.53"), "PRICE_OUT_OF_RANGE"),
        (single(price="0"), "PRICE_OUT_OF_RANGE"),
        (single(key=InstrumentKey("NSE", "NOSUCH")), "SYMBOL_NOT_FOUND"),
    ],
)
def test_bad_terms_are_refused_before_anything_is_kept(keeper: Keeper, request_, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        keeper.gtts.place(request_)
    assert caught.value.code == code
    assert keeper.store.working() == []


def test_blocked_entries_refuse_a_new_one_and_hold_one_that_fires(keeper: Keeper) -> None:
    trigger_id = placed(keeper)
    keeper.bench.desk.guards.panic("panic", "block")
    keeper.ticks.send(700.0)  # the desk refuses its order
    until(lambda: "held" in keeper.kinds(trigger_id))
    until(lambda: [r.known.attempt for r in keeper.gtts._runner._watched.rows.get(SBIN, ())] == [1])
    keeper.blocked = "panic"
    for change in (
        lambda: keeper.gtts.place(single()),
        lambda: keeper.gtts.modify(trigger_id, single("780", price="779.5")),
    ):
        with pytest.raises(EntriesBlocked):
            change()
    keeper.ticks.send(700.0)
    until(lambda: keeper.store.get(trigger_id).known.code == "MISSED")
    keeper.ticks.send(700.0)
    keeper.gtts._runner.chores()
    (row,) = keeper.gtts.book()
    assert (row.state, row.reason) == (
        "active",
        "missed: 700.0 was reached while entries were blocked; not fired",
    )
    assert keeper.kinds(trigger_id).count("missed") == 1
    assert keeper.orders() == []
    # afterwards a price that reaches it counts again
    keeper.blocked = ""
    keeper.bench.desk.allow_entries()
    keeper.ticks.send(785.0)
    until(lambda: keeper.state(trigger_id) == "triggered")
    assert keeper.store.get(trigger_id).known.code == ""


def test_one_that_came_to_disk_under_a_falling_block_does_not_stay(keeper: Keeper) -> None:
    words = iter(["", "panic"])
    keeper.gtts._parts = replace(keeper.parts, blocked=lambda: next(words))
    with pytest.raises(EntriesBlocked):
        keeper.gtts.place(single())
    assert keeper.store.working() == []


def test_the_same_id_keeps_one(keeper: Keeper) -> None:
    first = keeper.gtts.place(single(), client_order_id="mine")
    again = keeper.gtts.place(single(), client_order_id="mine")
    assert (again.trigger_id, again.repeated, first.repeated) == (first.trigger_id, True, False)
    with pytest.raises(InvalidRequest) as caught:
        keeper.gtts.place(single("780"), client_order_id="mine")
    assert caught.value.code == "CLIENT_ORDER_ID_REUSED"
    assert len(keeper.store.working()) == 1


def test_an_unknown_id_is_not_found(keeper: Keeper) -> None:
    for call in (lambda: keeper.gtts.cancel("GTT-1"), lambda: keeper.gtts.modify("GTT-1", single())):
        with pytest.raises(NotFound):
            call()


def test_many_fire_at_the_same_tick_each_once(keeper: Keeper) -> None:
    ids = [placed(keeper, single(quantity=n + 1)) for n in range(25)]
    until(lambda: len(keeper.gtts._runner._watched.rows.get(SBIN, ())) == 25)
    for _ in range(5):
        keeper.ticks.send(700.0, topic=TOPIC)
    until(lambda: all(keeper.state(i) == "triggered" for i in ids))
    assert sorted(q for _, q, _ in keeper.orders()) == list(range(1, 26))


# -- panic, and prices nobody heard -----------------------------------------------------------------------


def test_a_panic_of_the_desk_cancels_what_is_armed(keeper: Keeper) -> None:
    keeper.bench.desk.guards.canceller.gtts.attach(keeper.gtts)
    trigger_id = placed(keeper)
    word = keeper.bench.desk.guards.panic("enough")
    report = keeper.bench.desk.guards.canceller.wait(word.serial, 5)
    assert report.done
    assert [(one.orderid, one.state) for one in report.gtts] == [(trigger_id, "cancelled")]
    assert keeper.state(trigger_id) == "cancelled"
    assert keeper.gtts.standing() == {trigger_id: "cancelled"}


def marked(keeper: Keeper) -> None:
    """Wait until the day's extremes of every armed one were looked at, and keep them."""
    until(lambda: SBIN in keeper.gtts._runner._watched.rows)
    until(lambda: keeper.gtts._runner.spikes._compared == {row.id for row in keeper.store.working()})
    until(lambda: len(keeper.gtts._runner.spikes._marks) == len(keeper.store.working()))


def spike(keeper: Keeper, low: float, high: float) -> None:
    """The gateway is down while the price goes there and comes back."""
    keeper.close()
    keeper.extremes[SBIN] = (low, high)
    keeper.open()


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_spike_while_it_was_down_is_told_and_it_stays_armed(keeper: Keeper, killed: bool) -> None:
    told = []
    keeper.more = {"announce": told.append}
    keeper.extremes[SBIN] = (795.0, 805.0)
    trigger_id, other = placed(keeper), placed(keeper, single("810", rises=True))
    marked(keeper)
    if killed:
        until(lambda: len(keeper.store.marks.all()) == 2)
        keeper.gtts._runner.spikes.save = lambda *_, **__: None
    spike(keeper, 780.0, 806.0)
    until(lambda: keeper.store.get(trigger_id).known.code == "MISSED")
    row, untouched = keeper.gtts.book()
    assert row.reason.startswith("missed: 790 (the day's low is 780.0) was reached while no price was heard")
    assert (row.state, untouched.trigger_id, untouched.code) == ("active", other, "")
    until(lambda: [one.known.trigger_id for one in told] == [trigger_id])
    assert keeper.orders() == []
    # told once, and still armed
    keeper.restart()
    marked(keeper)
    assert keeper.kinds(trigger_id) == ["placed", "missed"]
    keeper.ticks.send(785.0)
    until(lambda: keeper.state(trigger_id) == "triggered")


def test_what_was_reached_before_it_was_placed_is_not_missed(keeper: Keeper) -> None:
    keeper.extremes[SBIN] = (780.0, 830.0)
    trigger_id = placed(keeper)
    marked(keeper)
    spike(keeper, 779.0, 831.0)
    marked(keeper)
    keeper.gtts._runner.spikes.journal()
    assert keeper.store.get(trigger_id).known.code == ""


def test_what_was_heard_since_the_last_quote_is_kept_at_the_end(keeper: Keeper) -> None:
    keeper.extremes[SBIN] = (800.0, 800.0)
    placed(keeper, single("810", rises=True))
    marked(keeper)
    for price in (795.0, 809.0, 800.0):
        keeper.ticks.send(price)
    keeper.close()
    keeper.bench.open()
    (mark,) = GttStore(keeper.bench.database, SystemClock()).marks.all().values()
    assert (mark.low, mark.high) == (795, 809)


def test_with_fire_a_missed_one_is_sent_but_not_an_oco_whose_both_prices_were_there(keeper: Keeper) -> None:
    keeper.more = {"fires_missed": True}
    keeper.extremes[SBIN] = (795.0, 805.0)
    fired, both = placed(keeper), placed(keeper, oco())
    marked(keeper)
    spike(keeper, 780.0, 825.0)
    until(lambda: keeper.state(fired) == "triggered")
    until(lambda: keeper.store.get(both).known.code == "MISSED")
    assert keeper.orders() == [("SELL", 5, Decimal("789.5"))]
    assert keeper.kinds(fired)[:3] == ["placed", "missed", "crossed"]
    assert "790 (the day's low is 780.0) and 820" in keeper.store.get(both).known.reason


def test_a_change_forgets_what_was_known(keeper: Keeper) -> None:
    keeper.extremes[SBIN] = (795.0, 805.0)
    trigger_id = placed(keeper)
    marked(keeper)
    until(keeper.store.marks.all)
    spikes = keeper.gtts._runner.spikes
    keeper.gtts._runner.look_at_quiet = lambda: None
    keeper.gtts.modify(trigger_id, single("799", price="798.5"))
    assert (keeper.store.marks.all(), spikes._marks) == ({}, {})


def test_a_change_that_grows_is_asked_for_with_its_strategy(keeper: Keeper) -> None:
    trigger_id = placed(keeper, strategy="s")
    asked: list[str] = []

    def grows(strategy: str) -> None:
        asked.append(strategy)
        raise EntriesBlocked("not yours")

    with pytest.raises(EntriesBlocked):
        keeper.gtts.modify(trigger_id, single(quantity=6), grows)
    assert keeper.store.get(trigger_id).known.terms.quantity == 5
    assert keeper.gtts.modify(trigger_id, single(quantity=5, price="789"), grows).ok
    assert asked == ["s"]
