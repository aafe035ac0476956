from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brokers.errors import InvalidRequest
from brokers.model import Depth, InstrumentKey, Level, Mode
from gateway.stream.hub import ASKED, POSITIONS, WORKING_ORDERS, Around, Hub, State, Want
from gateway.stream.topics import Name
from tests.gateway.stream.rig import SBIN, instrument, tick

KEY = InstrumentKey("NSE", "SBIN")


@dataclass(frozen=True)
class Someone:
    name: str
    listens: bool = True


A, B, PIN = Someone("a"), Someone("b"), Someone("pin", listens=False)


def name(mode, symbol="SBIN"):
    return Name("NSE", symbol, mode)


def test_the_highest_mode_wanted_by_anybody_is_the_one_upstream():
    hub = Hub(10, "dhan")
    assert hub.subscribe(A, name(Mode.LTP), SBIN, 0).wants == [Want(SBIN, Mode.LTP)]
    assert hub.subscribe(B, name(Mode.DEPTH), SBIN, 0).wants == [Want(SBIN, Mode.DEPTH)]
    assert hub.subscribe(B, name(Mode.QUOTE), SBIN, 0).wants == []
    assert hub.drop(B) == [Want(SBIN, Mode.LTP)]
    assert hub.unsubscribe(A, name(Mode.LTP))[1] == [Want(SBIN, None)]
    assert len(hub) == 0


def test_subscribing_twice_is_holding_once():
    hub = Hub(10, "dhan")
    assert hub.subscribe(A, name(Mode.LTP), SBIN, 0).new
    again = hub.subscribe(A, name(Mode.LTP), SBIN, 0)
    assert not again.new
    assert again.channel.listeners == [A]
    assert hub.unsubscribe(A, name(Mode.LTP))[1] == [Want(SBIN, None)]
    assert hub.unsubscribe(A, name(Mode.LTP)) == (None, [])


def test_a_tick_serves_every_mode_up_to_its_own_with_a_number_each():
    hub = Hub(10, "dhan")
    for mode in Mode:
        hub.subscribe(A, name(mode), SBIN, 0)
    assert [c.name.mode for c in hub.take(tick(KEY, mode=Mode.QUOTE))] == [Mode.LTP, Mode.QUOTE]
    assert [(c.name.mode, c.seq) for c in hub.take(tick(KEY))] == [
        (Mode.LTP, 2),
        (Mode.QUOTE, 2),
        (Mode.DEPTH, 1),
    ]


def test_an_index_has_no_book_so_a_quote_serves_its_depth_subscribers():
    nifty = instrument("NSE_INDEX", "NIFTY", "0")
    hub = Hub(10, "kotak")
    channel = hub.subscribe(A, Name("NSE_INDEX", "NIFTY", Mode.DEPTH), nifty, 0).channel
    assert hub.take(tick(nifty.key, mode=Mode.LTP)) == ()
    assert hub.take(tick(nifty.key, mode=Mode.QUOTE)) == (channel,)
    assert channel.entry.newest(Mode.DEPTH) is not None


def test_a_depth_suffix_is_a_channel_of_the_same_instrument():
    hub = Hub(1, "dhan")
    hub.subscribe(A, name(Mode.DEPTH), SBIN, 0)
    assert hub.subscribe(A, name(Mode.DEPTH, "SBIN:20"), SBIN, 0).wants == []
    assert {c.name.symbol for c in hub.take(tick(KEY))} == {"SBIN", "SBIN:20"}


def test_one_instrument_too_many_is_refused_and_the_others_stay():
    hub = Hub(1, "dhan")
    hub.subscribe(A, name(Mode.LTP), SBIN, 0)
    with pytest.raises(InvalidRequest, match=r"^Symbol count exceeds maximum \(1\) for dhan$"):
        hub.subscribe(A, name(Mode.LTP, "TCS"), instrument("NSE", "TCS"), 0)
    assert hub.subscribe(A, name(Mode.DEPTH), SBIN, 0).wants == [Want(SBIN, Mode.DEPTH)]
    assert [w.instrument for w in hub.wants()] == [SBIN]


def test_live_only_after_data():
    hub = Hub(10, "dhan")
    channel = hub.subscribe(A, name(Mode.QUOTE), SBIN, 100.0).channel
    assert channel.state(100.0) is State.PENDING
    assert channel.state(116.0) is State.NO_DATA
    hub.take(tick(KEY, mode=Mode.LTP))
    assert channel.state(116.0) is State.NO_DATA
    hub.take(tick(KEY))
    assert channel.state(116.0) is State.LIVE
    hub.lost(120.0)
    assert channel.state(120.0) is State.STALE
    assert channel.entry.newest(Mode.LTP) is None


def test_a_refused_instrument_says_so_until_data_comes():
    hub = Hub(10, "dhan")
    channel = hub.subscribe(A, name(Mode.LTP), SBIN, 0.0).channel
    assert hub.refuse(KEY, "over the limit") == [channel]
    assert (channel.state(0.0), channel.entry.refused) == (State.REFUSED, "over the limit")
    hub.take(tick(KEY))
    assert channel.state(0.0) is State.LIVE


def test_a_refusal_outlives_a_reconnect_until_data_shows_that_it_is_over():
    hub = Hub(10, "dhan")
    channel = hub.subscribe(A, name(Mode.LTP), SBIN, 0.0).channel
    hub.refuse(KEY, "over the limit")
    hub.lost(1.0)
    assert channel.state(1.0) is State.REFUSED
    hub.take(tick(KEY))
    hub.lost(2.0)
    assert channel.state(2.0) is State.STALE


def around(now_s=0.0, *, feed="", is_open=True, now_ns=0):
    return Around(now_s, now_ns, feed, lambda exchange: is_open, 60.0)


def test_a_state_that_is_not_live_gives_its_reason():
    hub = Hub(10, "dhan")
    channel = hub.subscribe(A, name(Mode.LTP), SBIN, 100.0).channel
    assert channel.status(around(101.0)) == (State.PENDING, "")
    assert channel.status(around(120.0)) == (State.NO_DATA, "no trade yet")
    assert channel.status(around(120.0, is_open=False)) == (State.NO_DATA, "market closed")
    assert channel.status(around(120.0, feed="login needed")) == (
        State.NO_DATA,
        "broker feed: login needed",
    )
    one = tick(KEY)
    hub.take(one)
    soon, late = one.received_ns + 59 * 10**9, one.received_ns + 61 * 10**9
    assert channel.status(around(120.0, now_ns=soon)) == (State.LIVE, "")
    assert channel.status(around(120.0, now_ns=late)) == (State.STALE, "no tick for 61 s")
    assert channel.status(around(120.0, now_ns=late, is_open=False)) == (State.LIVE, "")
    assert channel.status(around(120.0, now_ns=soon, feed="cut")) == (State.STALE, "broker feed: cut")
    hub.lost(130.0)
    assert channel.status(around(130.0, feed="cut")) == (State.STALE, "broker feed: cut")
    hub.refuse(KEY, "over the limit")
    assert channel.status(around(130.0)) == (State.REFUSED, "over the limit")


@dataclass(frozen=True)
class Ranked(Someone):
    priority: int = ASKED


def full_hub():
    """Two slots: AA asked for first, then BB."""
    hub = Hub(2, "dhan")
    aa, bb, cc, dd = SYMBOLS
    for one in (aa, bb):
        hub.subscribe(A, name(Mode.LTP, one.key.symbol), one, 0)
    return hub, aa, bb, cc, dd


def test_a_position_takes_the_slot_asked_for_last_and_the_loser_gets_it_back():
    hub, aa, bb, cc, _ = full_hub()
    holder = Ranked("positions", listens=False, priority=POSITIONS)
    joined = hub.subscribe(holder, name(Mode.QUOTE, "CC"), cc, 0)
    assert joined.wants == [Want(bb, None), Want(cc, Mode.QUOTE)]
    [lost] = joined.parked
    assert lost.status(around()) == (
        State.REFUSED,
        "Symbol count exceeds maximum (2) for dhan; an open position needed the slot",
    )
    assert (len(hub), {w.instrument for w in hub.wants()}) == (2, {aa, cc})
    assert hub.take(tick(bb.key, mode=Mode.LTP)) == (lost,)  # a late tick is still a tick
    assert hub.drop(holder) == [Want(cc, None), Want(bb, Mode.LTP)]
    assert lost.entry.refused == ""


def test_positions_go_before_working_orders_before_what_was_asked():
    hub, aa, _, cc, dd = full_hub()
    orders = Ranked("orders", listens=False, priority=WORKING_ORDERS)
    positions = Ranked("positions", listens=False, priority=POSITIONS)
    hub.subscribe(orders, name(Mode.LTP, "CC"), cc, 0)  # over BB
    hub.subscribe(positions, name(Mode.LTP, "DD"), dd, 0)  # over AA
    assert {w.instrument for w in hub.wants()} == {cc, dd}
    with pytest.raises(InvalidRequest, match="Symbol count exceeds maximum"):
        hub.subscribe(orders, name(Mode.LTP, "EE"), instrument("NSE", "EE"), 0)
    # a position in what was pushed out: over the working order
    assert hub.subscribe(positions, name(Mode.LTP, "AA"), aa, 0).wants == [
        Want(cc, None),
        Want(aa, Mode.LTP),
    ]
    # a slot is free again: the working order before BB, which only somebody asked for
    assert hub.unsubscribe(positions, name(Mode.LTP, "DD"))[1] == [Want(dd, None), Want(cc, Mode.LTP)]


def test_a_parked_instrument_nobody_holds_any_more_leaves_no_trace():
    hub, _, _, cc, _ = full_hub()
    hub.subscribe(Ranked("p", priority=POSITIONS), name(Mode.LTP, "CC"), cc, 0)
    assert hub.unsubscribe(A, name(Mode.LTP, "BB"))[1] == []
    assert len(hub) == 2
    assert hub.drop(A) == [Want(SYMBOLS[0], None)]
    assert (len(hub), [w.instrument for w in hub.wants()]) == (1, [cc])


DEEP = {20: frozenset({"NSE"}), 200: frozenset({"NSE"})}


def book(levels, best=800.0):
    row = [Level(best - n, 1, 1) for n in range(levels)]
    return lambda: Depth(tuple(row), tuple(row))


def test_the_smallest_book_that_holds_every_level_asked_for_is_wanted():
    hub = Hub(5, "dhan", DEEP)
    assert hub.subscribe(A, name(Mode.DEPTH), SBIN, 0).wants == [Want(SBIN, Mode.DEPTH)]
    twenty = hub.subscribe(A, name(Mode.DEPTH, "SBIN:20"), SBIN, 0)
    assert (twenty.wants, twenty.channel.depth_served()) == ([Want(SBIN, Mode.DEPTH, 20)], 20)
    assert hub.subscribe(B, name(Mode.DEPTH, "SBIN:50"), SBIN, 0).wants == [Want(SBIN, Mode.DEPTH, 200)]
    assert hub.subscribe(B, name(Mode.LTP, "SBIN:200"), SBIN, 0).wants == []  # a price has no levels
    assert hub.unsubscribe(B, name(Mode.DEPTH, "SBIN:50"))[1] == [Want(SBIN, Mode.DEPTH, 20)]
    assert (
        hub.subscribe(A, Name("BSE", "SBIN:20", Mode.DEPTH), instrument("BSE", "SBIN"), 0).wants[0].levels
        == 0
    )


def test_deep_books_serve_who_asked_and_five_levels_step_in_when_they_stop():
    hub = Hub(5, "dhan", DEEP)
    five = hub.subscribe(A, name(Mode.DEPTH), SBIN, 0).channel
    fifty = hub.subscribe(A, name(Mode.DEPTH, "SBIN:50"), SBIN, 0).channel
    assert hub.take_book(KEY, 200, book(200), 5) == []  # no price is known yet
    assert hub.take(tick(KEY, 801.0)) == (five,)
    [(channel, deep)] = hub.take_book(KEY, 200, book(200), 7)
    assert channel is fifty
    assert (deep.ltp, deep.received_ns, len(deep.depth().bids)) == (801.0, 7, 50)
    assert len(fifty.newest().depth().asks) == 50
    assert hub.take(tick(KEY, 802.0)) == (five,)
    hub.take_book(KEY, 0, None, 0)
    assert hub.take(tick(KEY, 803.0)) == (five, fifty)


def test_a_book_the_feed_will_not_carry_is_reported_as_five_levels():
    hub = Hub(5, "dhan", DEEP)
    channel = hub.subscribe(A, name(Mode.DEPTH, "SBIN:200"), SBIN, 0).channel
    hub.too_deep(KEY, "Dhan carries 5 books of 200 levels; this one is over")
    assert channel.depth_served() == 5
    assert hub.take(tick(KEY)) == (channel,)
    assert hub.wants() == [Want(SBIN, Mode.DEPTH)]


def test_a_tick_nobody_asked_for_is_counted():
    hub = Hub(10, "dhan")
    assert hub.take(tick(KEY)) == ()
    assert hub.stray_ticks == 1


def test_new_facts_of_an_instrument_are_wanted_anew():
    hub = Hub(10, "dhan")
    hub.subscribe(A, name(Mode.QUOTE), SBIN, 0)
    renewed = instrument("NSE", "SBIN", token="999")
    assert hub.replace(SBIN) == []
    assert hub.replace(renewed) == [Want(SBIN, None), Want(renewed, Mode.QUOTE)]
    assert hub.unsubscribe(A, name(Mode.QUOTE))[1] == [Want(renewed, None)]


def test_a_keeper_holds_a_channel_without_listening():
    hub = Hub(10, "dhan")
    channel = hub.subscribe(PIN, name(Mode.QUOTE), SBIN, 0).channel
    assert channel.listeners == []
    hub.subscribe(A, name(Mode.QUOTE), SBIN, 0)
    assert hub.drop(A) == []
    assert hub.drop(PIN) == [Want(SBIN, None)]


SYMBOLS = [instrument("NSE", s) for s in ("AA", "BB", "CC", "DD")]
LIMIT = 3
PEOPLE = [Someone("p0"), Someone("p1"), Someone("p2", listens=False)]


class Refcounts(RuleBasedStateMachine):
    """After any sequence, what is wanted upstream is the highest mode over all that is held, told once."""

    @initialize()
    def begin(self):
        self.hub = Hub(LIMIT, "x")
        self.model: set[tuple[Someone, Name]] = set()
        self.upstream: dict[InstrumentKey, Mode] = {}
        self.seqs: dict[Name, int] = {}

    def told(self, wants):
        keys = [w.instrument.key for w in wants]
        assert len(keys) == len(set(keys)), "one change per instrument"
        for want in wants:
            key = want.instrument.key
            assert self.upstream.get(key) is not want.mode, "told what is so already"
            if want.mode is None:
                del self.upstream[key]
            else:
                self.upstream[key] = want.mode

    @rule(
        who=st.sampled_from(PEOPLE),
        what=st.sampled_from(SYMBOLS),
        mode=st.sampled_from(Mode),
        wide=st.booleans(),
    )
    def subscribe(self, who, what, mode, wide):
        channel = Name("NSE", what.key.symbol + (":20" if wide else ""), mode)
        full = len(self.upstream) >= LIMIT and what.key not in self.upstream
        try:
            joined = self.hub.subscribe(who, channel, what, 0.0)
        except InvalidRequest:
            assert full
            return
        assert not full
        assert joined.new == ((who, channel) not in self.model)
        self.model.add((who, channel))
        self.told(joined.wants)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def unsubscribe(self, data):
        who, channel = data.draw(st.sampled_from(sorted(self.model, key=str)))
        found, wants = self.hub.unsubscribe(who, channel)
        assert found is not None
        self.model.discard((who, channel))
        self.told(wants)

    @rule(who=st.sampled_from(PEOPLE), what=st.sampled_from(SYMBOLS), mode=st.sampled_from(Mode))
    def unsubscribe_maybe_not_held(self, who, what, mode):
        channel = Name("NSE", what.key.symbol, mode)
        found, wants = self.hub.unsubscribe(who, channel)
        assert (found is not None) == ((who, channel) in self.model)
        self.model.discard((who, channel))
        self.told(wants)

    @rule(who=st.sampled_from(PEOPLE))
    def leave(self, who):
        wants = self.hub.drop(who)
        self.model = {(w, c) for w, c in self.model if w != who}
        self.told(wants)

    @rule(what=st.sampled_from(SYMBOLS), mode=st.sampled_from(Mode))
    def receive(self, what, mode):
        channels = self.hub.take(tick(what.key, mode=mode))
        got = {(p, c.name) for c in channels for p in c.listeners}
        assert got == {
            (p, c)
            for p, c in self.model
            if p.listens and c.symbol.split(":")[0] == what.key.symbol and c.mode <= mode
        }
        for channel in channels:
            assert channel.listeners.count(channel.listeners[0]) == 1 if channel.listeners else True

    @invariant()
    def upstream_is_the_maximum(self):
        highest: dict[InstrumentKey, Mode] = {}
        for _, channel in self.model:
            key = InstrumentKey("NSE", channel.symbol.split(":")[0])
            highest[key] = max(channel.mode, highest.get(key, Mode.LTP))
        assert self.upstream == highest
        assert {w.instrument.key: w.mode for w in self.hub.wants()} == highest
        assert {c.name for c in self.hub.channels()} == {c for _, c in self.model}


Refcounts.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRefcounts = Refcounts.TestCase
