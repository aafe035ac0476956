"""What a feed does about each fault of the simulated brokers, seen by a WebSocket client.

Simulated broker (its own process) -> adapter -> hub -> WebSocket server -> client, over real sockets, with a
watchdog of one and two seconds instead of ten and twelve.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect

from brokers import registry
from brokers.contract import BrokerSession, FeedSink
from brokers.dhan.feed import DhanFeed
from brokers.errors import LoginRequired
from brokers.feedloop import LoopRules
from brokers.kotak.feed import FeedRules, KotakFeed
from brokers.kotak.wire import hsm
from brokers.model import FeedState, Instrument, InstrumentKey
from tests.contract.conftest import Bench, ist_today, start
from tests.gateway.stream.rig import Rig, ask, hear, limits, on_loop, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("feed_faults")]

QUICK = LoopRules(
    resubscribe_after_s=1.0,
    reconnect_after_s=2.0,
    backoff_first_s=0.05,
    backoff_most_s=0.3,
    stable_after_s=1.0,
    ping_interval_s=None,
)
PINGING = LoopRules(
    resubscribe_after_s=60.0,
    reconnect_after_s=60.0,
    backoff_first_s=0.05,
    backoff_most_s=0.3,
    ping_interval_s=0.5,
    ping_timeout_s=0.5,
)
NAMES = ("SBIN", "TCS", "INFY", "RELIANCE")


@pytest.fixture(scope="module", params=["dhan", "kotak"])
def sim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    name = str(request.param)
    process, base = start(name, tmp_path_factory.mktemp(f"faults_{name}"))
    try:
        one = Bench(name, registry.open_broker(name), base)
        one.login()
        source = one.broker.instruments(one.context(), one.current)
        one.table.__init__(source.parse(source.download(), ist_today()).rows)  # type: ignore[misc]
        yield one
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(autouse=True)
def _healed(sim: Bench) -> Iterator[None]:
    """No fault is left behind, and every test is an account of its own."""
    sim.control("DELETE", "faults")
    yield
    sim.control("DELETE", "faults")


@dataclass
class Line:
    """A running feed with its client."""

    sim: Bench
    rig: Rig
    client: ClientConnection
    states: list[tuple[FeedState, str]]
    renewals: list[int] = field(default_factory=list)
    can_renew: bool = True

    async def fault(self, kind: str, **more: Any) -> None:
        await asyncio.to_thread(self.sim.control, "POST", "faults", {"kind": kind, **more})

    async def heal(self) -> None:
        await asyncio.to_thread(self.sim.control, "DELETE", "faults")

    async def subscriptions(self) -> dict[str, tuple[str, str]]:
        """Symbol -> (state, message), as the client is told."""
        answer = await ask(self.client, action="get_subscriptions")
        while answer.get("type") != "subscriptions":  # a refusal was pushed meanwhile
            answer = await hear(self.client)
        return {s["symbol"]: (s["state"], s["message"]) for s in answer["subscriptions"]}

    async def all_live(self, count: int, within_s: float = 15.0) -> None:
        def live() -> int:
            return sum(c.live for c in self.rig.fanout.hub.channels())

        await until(lambda: live() == count and self.rig.upstream.state is FeedState.LIVE, within_s)

    async def said(self, state: FeedState, words: str, within_s: float = 15.0) -> None:
        try:
            await until(lambda: any(s is state and words in r for s, r in self.states), within_s)
        except TimeoutError:
            pytest.fail(f"{words!r} was not said; this was: {self.states[-12:]}")

    async def ticks_flow(self) -> None:
        """A tick newer than now reaches the client."""
        now_ms = time.time_ns() // 10**6
        async with asyncio.timeout(15):
            while True:
                frame = await hear(self.client)
                if frame.get("type") == "market_data" and frame["data"]["timestamp"] > now_ms:
                    return


def instruments(sim: Bench, count: int = 0) -> list[Instrument]:
    """The well-known shares, or the first ``count`` rows that tick."""
    if not count:
        return [sim.instrument("NSE", name) for name in NAMES]
    return [row for row in sim.table.rows if not row.key.exchange.endswith("_INDEX")][:count]


@asynccontextmanager
async def feeding(
    sim: Bench,
    path: Path,
    rows: list[Instrument],
    *,
    rules: LoopRules = QUICK,
    most: int = 5000,
    live: int | None = None,
    per_socket: int = 5000,
    can_renew: bool = True,
    **options: str,
) -> AsyncIterator[Line]:
    """Subscribe the rows by LTP and wait until each has ticked."""
    states: list[tuple[FeedState, str]] = []
    renewals: list[int] = []

    one_login = asyncio.Lock()

    async def source(failed: int) -> BrokerSession:
        # one at a time, as the api process does it: a second login at Dhan kills the first one's token
        async with one_login:
            if sim.current().generation <= failed:
                renewals.append(failed)
                if not can_renew:
                    raise LoginRequired("log in again with: algo login")
                await asyncio.to_thread(sim.login)
            return sim.current()

    class Heard:
        """The upstream, with a note of what it is told."""

        def __init__(self, sink: FeedSink) -> None:
            self._sink = sink

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sink, name)

        def on_state(self, state: FeedState, reason: str) -> None:
            states.append((state, reason))
            self._sink.on_state(state, reason)

    def make(sink: FeedSink) -> Any:
        heard: Any = Heard(sink)
        if sim.name == "dhan":
            return DhanFeed(sim.context(), source, heard, rules=rules, per_socket=per_socket)
        switch_s = 1.5 if rules is QUICK else 60.0
        quick = FeedRules(switch_after_s=switch_s, login_wait_s=0.1, login_timeout_s=0.5, loop=rules)
        return KotakFeed(sim.context(**options), source, heard, rules=quick)

    await asyncio.to_thread(sim.login)
    async with (
        running(path, feed=make, instruments=sim.table.rows, limits=limits(max_symbols=most)) as rig,
        rig.client(max_queue=None) as client,
    ):
        wanted = [{"symbol": r.key.symbol, "exchange": r.key.exchange} for r in rows]
        for at in range(0, len(wanted), 500):
            await ask(client, action="subscribe", mode=1, symbols=wanted[at : at + 500])
        line = Line(sim, rig, client, states, renewals)
        await line.all_live(len(rows) if live is None else live)
        yield line


def only(broker: str, sim: Bench) -> None:
    if sim.name != broker:
        pytest.skip(f"{broker} only")


@on_loop
async def test_a_silent_feed_is_noticed_said_and_gets_a_new_socket(sim: Bench, tmp_path: Path) -> None:
    async with feeding(sim, tmp_path, instruments(sim)) as line:
        if sim.name == "dhan":
            # silence means something once a stream has talked for a while (a list of quiet options must not)
            await until(lambda: line.rig.upstream.feed._sockets[0].expects_data(), 10)  # type: ignore[union-attr]
            await line.fault("silence", match={"socket": "feed"})
            await line.said(FeedState.SILENT, "subscribing again")
            assert set((await line.subscriptions()).values()) == {
                ("stale", f"broker feed: {line.rig.upstream.reason}")
            }
            await line.said(FeedState.BACKOFF, "silent for")
            await line.heal()
        else:
            await line.fault("silence", match={"socket": "feed"})
            await line.said(FeedState.CONNECTING, "changed from sfeed because it sent nothing new")
            await line.heal()  # the simulated feeds share a name: the other one would be silent too
            await until(lambda: line.rig.upstream.feed.kind == "hsm")  # type: ignore[union-attr]
        await line.all_live(len(NAMES))
        await line.ticks_flow()
        assert {state for state, _ in (await line.subscriptions()).values()} == {"live"}


@pytest.mark.parametrize("kind", ["torn_frame", "garbage_frame"])
@on_loop
async def test_an_unreadable_frame_is_counted_and_kept_and_the_stream_goes_on(
    sim: Bench, tmp_path: Path, kind: str
) -> None:
    async with feeding(sim, tmp_path, instruments(sim)) as line:
        counters = line.rig.upstream.feed.counters  # type: ignore[union-attr]
        await line.fault(kind, count=3, match={"socket": "feed"})
        await until(lambda: counters.parse_errors >= 1)
        assert (tmp_path / "bad.jsonl").read_text().count("\n") >= 1
        await line.ticks_flow()
        assert line.rig.upstream.state is FeedState.LIVE


@on_loop
async def test_a_half_open_socket_is_found_out_by_its_pings(sim: Bench, tmp_path: Path) -> None:
    async with feeding(sim, tmp_path, instruments(sim), rules=PINGING) as line:
        await line.fault("half_open", match={"socket": "feed"})
        await line.said(FeedState.BACKOFF, "keepalive ping timeout")
        await line.heal()
        await line.all_live(len(NAMES))
        await line.ticks_flow()


@on_loop
async def test_a_sixth_connection_evicts_and_the_feed_waits_its_turn(
    sim: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("dhan", sim)
    monkeypatch.setattr("brokers.dhan.feed.socket.SLOT_TAKEN_WAIT_S", 1.0)
    async with feeding(sim, tmp_path, instruments(sim)) as line:
        session = sim.current()
        token = session.secrets["token"].reveal()
        query = urlencode({"version": "2", "token": token, "clientId": session.account, "authType": "2"})
        url = f"{sim.context().endpoints['feed']}?{query}"
        others = [await connect(url, proxy=None, compression=None) for _ in range(5)]
        await line.said(FeedState.BACKOFF, "Dhan said 805")
        [reason] = [r for s, r in line.states if s is FeedState.BACKOFF and "805" in r][:1]
        assert "next try in 1.0 s" in reason
        for other in others:
            await other.close()
        await line.all_live(len(NAMES))
        await line.ticks_flow()


@on_loop
async def test_an_expired_token_is_renewed_once_and_nothing_has_to_be_subscribed_again(
    sim: Bench, tmp_path: Path
) -> None:
    async with feeding(sim, tmp_path, instruments(sim)) as line:
        generation = sim.current().generation
        await asyncio.to_thread(sim.control, "POST", "expire", {"account": sim.current().account})
        await line.fault("cut")
        await until(lambda: sim.current().generation > generation)
        await line.all_live(len(NAMES))
        await line.ticks_flow()
        assert sim.current().generation == generation + 1


@on_loop
async def test_a_token_nobody_can_renew_is_said_to_everybody(sim: Bench, tmp_path: Path) -> None:
    async with feeding(sim, tmp_path, instruments(sim), can_renew=False) as line:
        await asyncio.to_thread(sim.control, "POST", "expire", {"account": sim.current().account})
        await line.fault("cut")
        await line.said(FeedState.LOGIN_NEEDED, "algo login")
        # the sockets of a feed learn of it one after the other, each with its own words
        for _ in range(100):
            told = (await line.subscriptions()).values()
            if all(state == "stale" and "algo login" in message for state, message in told):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail(f"a subscriber is not told: {told}")
    await asyncio.to_thread(sim.login)


@on_loop
async def test_the_symbol_over_the_limit_is_refused_and_the_others_stream(sim: Bench, tmp_path: Path) -> None:
    rows = instruments(sim)
    async with feeding(sim, tmp_path, rows, most=3, live=3) as line:
        extra = rows[3].key
        answer = await ask(line.client, action="subscribe", mode=1, symbol=extra.symbol, exchange="NSE")
        [refusal] = answer["subscriptions"]
        assert refusal["message"] == "Symbol count exceeds maximum (3) for dhan"
        await line.ticks_flow()


@on_loop
async def test_the_brokers_own_limit_is_refused_with_the_same_words(sim: Bench, tmp_path: Path) -> None:
    only("dhan", sim)
    rows = instruments(sim, 11)
    async with feeding(sim, tmp_path, rows, per_socket=2, live=10) as line:
        found = await line.subscriptions()
        assert found[rows[10].key.symbol] == ("refused", "Symbol count exceeds maximum (10) for dhan")
        assert sorted({state for state, _ in found.values()}) == ["live", "refused"]
        await line.ticks_flow()


@on_loop
async def test_a_thousand_symbols_are_back_within_fifteen_seconds_of_a_cut(
    sim: Bench, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rows = instruments(sim, 1000)
    async with feeding(sim, tmp_path, rows) as line:
        began = time.monotonic()
        await line.fault("cut")
        await until(lambda: line.rig.upstream.state is not FeedState.LIVE)
        await line.all_live(1000, within_s=30.0)
        took_s = time.monotonic() - began
        record_property(f"{sim.name}_back_s", round(took_s, 2))
        print(f"{sim.name}: 1,000 symbols live again {took_s:.2f} s after the cut")
        assert took_s <= 15.0
        assert len(line.rig.fanout.hub) == 1000


@on_loop
async def test_a_paused_hsm_channel_is_resumed_and_the_socket_kept(sim: Bench, tmp_path: Path) -> None:
    only("kotak", sim)
    patient = replace(QUICK, reconnect_after_s=5.0)
    async with feeding(sim, tmp_path, instruments(sim), rules=patient, KOTAK_FEED="hsm") as line:
        socket = line.rig.upstream.feed._sockets["hsm"]  # type: ignore[union-attr]
        socket._post(hsm.pause(set(socket._sent.values())))
        await line.said(FeedState.SILENT, "subscribing again")
        silences = sum(state is FeedState.SILENT for state, _ in line.states)
        for _ in range(8):
            await line.ticks_flow()
        # had it stayed paused, each new subscription would bring one snapshot and another silence
        assert sum(state is FeedState.SILENT for state, _ in line.states) == silences
        assert line.rig.upstream.feed.counters.reconnects == 0  # type: ignore[union-attr]


@on_loop
async def test_deep_books_arrive_and_five_levels_step_in_while_their_socket_is_away(
    sim: Bench, tmp_path: Path
) -> None:
    only("dhan", sim)
    async with feeding(sim, tmp_path, instruments(sim)[:1]) as line:
        for levels in (20, 200):
            answer = await ask(
                line.client, action="subscribe", mode=3, symbol=f"TCS:{levels}", exchange="NSE"
            )
            assert answer["subscriptions"][0]["depth"] == levels

        async def book(symbol: str, wanted: int) -> None:
            async with asyncio.timeout(10):
                while True:
                    frame = await hear(line.client)
                    if frame.get("symbol") == symbol and frame["data"]["depth_level"] == wanted:
                        side = frame["data"]["depth"]["buy"]
                        assert [row["price"] for row in side] == sorted(
                            (row["price"] for row in side), reverse=True
                        )
                        return

        # the smallest book that holds all that is asked for is the one asked for upstream
        await book("TCS:20", 20)
        await book("TCS:200", 200)
        await line.fault("half_open", match={"socket": "twohundreddepth"})
        await line.fault("cut", match={"socket": "twohundreddepth"})
        entry = next(
            e for e in line.rig.fanout.hub.entries() if e.instrument.key == InstrumentKey("NSE", "TCS")
        )
        await until(lambda: entry.book is None)
        await book("TCS:200", 5)
        await line.heal()
        await book("TCS:200", 200)
        assert line.rig.upstream.state is FeedState.LIVE
