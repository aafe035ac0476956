"""The throw-away instance: the product's api in analyze mode and its stream, on a clock that is played.

Settings come from one of the home's instances, of its simulated side: no credential of a real broker is read.
Its databases lie in a temporary folder. Nobody logs in, so nothing can reach a broker.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, cast

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import IST
from brokers.contract import BrokerSession
from brokers.errors import AlgoError, InvalidRequest, StoreError
from brokers.model import Instrument, InstrumentKey, Mode, Tick
from brokers.redact import Redactor
from brokers.secret import Secret
from brokers.venue import Venue
from gateway import runtime
from gateway import settings as gateway_settings
from gateway.past import ticks as made
from gateway.past.clock import PlayedClock
from gateway.settings import EnvFile, Settings, StreamRules
from gateway.settings import store as store_settings
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from gateway.stream.bus import Bus
from gateway.stream.client import Facts
from gateway.stream.door import Gate, listening_socket
from gateway.stream.fanout import Fanout, Holder
from gateway.stream.hub import Around, Hub, Want
from gateway.stream.replay import Player
from gateway.stream.server import StreamServer
from gateway.stream.standins import OneKey, RecordedTable
from gateway.stream.topics import Name
from historify.contract import BarStore
from historify.model import BarRequest, Bars
from historify.store import open_store

log = logging.getLogger(__name__)

BREATHE = 50
"""Ticks played at full speed before the rest of the loop gets a turn."""
CLOSE_BEFORE_DAYS = 15
MINUTE_NS = 60_000_000_000
ONE_SESSION = timedelta(days=36_500)
NOWHERE = "http://127.0.0.1:9"
"""In place of a broker's addresses: nothing answers at the discard port."""
SETTLE_S = 0.0002


@dataclass(frozen=True, slots=True)
class Wish:
    """What is played: ``keys`` of ``interval`` from ``start`` to ``end``, both inclusive."""

    keys: tuple[InstrumentKey, ...]
    interval: str
    start: date
    end: date


@dataclass(frozen=True, slots=True)
class Played:
    """What a replay sent; equal digests mean equal messages."""

    ticks: int
    messages: int
    digest: str


class Past:
    """One throw-away instance; ``start`` before ``play``, ``stop`` at the end.

    Args:
        home, name: The instance whose rules it has.
        folder: Temporary; its databases go there.
        out: Gets each message as a line of JSON.

    Raises:
        SettingsError: The home has no such instance, or a wrong one.
        InvalidRequest: Nothing of a symbol is stored, or the symbol is unknown.
        StoreError: The store cannot be read.
    """

    def __init__(
        self, home: Path, name: str, wish: Wish, folder: Path, *, sim: bool, out: IO[bytes] | None = None
    ) -> None:
        base = gateway_settings.load(home, name, Venue.SIM)
        self.settings = _settings(base, folder, sim=sim)
        self.calendar: Calendar = AlwaysOpen() if self.settings.sim_hours == "always" else FileCalendar()
        if not made.playable(wish.interval):
            raise InvalidRequest(f"{wish.interval} cannot be played; minutes, hours and D can")
        store = open_store(_store_of(home, name, sim=sim), calendar=self.calendar, home=home)
        try:
            streams = [_stream(store, key, wish, self.calendar) for key in wish.keys]
        finally:
            store.close()
        self._ticks = made.together([one for one, _ in streams])
        self.clock = PlayedClock(min(first for _, first in streams) * 1_000_000_000)
        venue = Venue.SIM if sim else Venue.LIVE
        table = _instruments(home, name, venue, wish.keys, self.clock)
        self.api = runtime.build(self.settings, Redactor([]), self.clock)
        self.api.made.parts.instruments.swap(table, self.clock.now().astimezone(IST).date())
        self.key: Secret = self.api.made.parts.keys.create("replay")[1]
        self.player = Player(out)
        self._table = RecordedTable()
        self.fanout = Fanout(
            Hub(1_000_000, self.settings.broker, self.settings.spec.capabilities.book_levels),
            want=_unasked,
            table=lambda: self._table,
            monotonic=time.monotonic,
        )
        for instrument in table:
            self._table.add(instrument)
            for mode in Mode:
                channel = Name(instrument.key.exchange, instrument.key.symbol, mode)
                holder = cast(Holder, self.player)
                self.fanout.hub.subscribe(holder, channel, instrument, time.monotonic())
        self.bus = Heard(self.api.made.ticks.take)
        self.server: StreamServer | None = None

    async def start(self, ws_port: int = 0, zmq_port: int = 0) -> tuple[int, int, int]:
        """The ports of REST, WebSocket and ZeroMQ. Raises ``OSError`` when one is taken."""
        sock = listening_socket("127.0.0.1", ws_port)
        ws_port = sock.getsockname()[1]
        self.bus.bind("127.0.0.1", zmq_port)
        self.fanout.attach(self.bus)

        def around() -> Around:
            return Around(time.monotonic(), self.clock.time_ns(), "", lambda _: True, 1e9)

        facts = Facts(self.settings.broker, "replay", lambda: "connected", around)
        rules = StreamRules(15.0, 1_000_000, 60.0, 60.0, 1_000_000)
        gate = Gate(("127.0.0.1", "localhost"), (ws_port,))
        keys = OneKey(self.key.reveal())
        self.server = StreamServer(self.fanout, keys, gate, facts, self.clock, rules)
        await self.server.start(sock)
        parts = self.api.made
        parts.session.adopt(_session(self.settings.broker, self.clock))
        threading.Thread(target=self.api.server.serve_forever, name="accept", daemon=True).start()
        # the cache is fed below, in step with the clock, so its own thread is not started
        parts.sandbox.start()
        if parts.parts.paper_gtt is not None:
            parts.parts.paper_gtt.start()
        return self.api.server.port, ws_port, self.bus.port

    @property
    def consumers(self) -> int:
        return (len(self.server.clients) if self.server else 0) + self.bus.subscriptions

    async def play(self, speed: float | None, stopped: Callable[[], bool] = lambda: False) -> Played:
        """Every tick at its time: 1 as it was, 60 an hour a minute, None as fast as consumers read."""
        began, first_ns, count, minute = time.monotonic(), 0, 0, 0
        sandbox = self.api.made.sandbox
        for tick in self._ticks:
            if stopped():
                break
            first_ns = first_ns or tick.received_ns
            if speed is not None:
                wait_s = (tick.received_ns - first_ns) / 1e9 / speed - (time.monotonic() - began)
                if wait_s > 0.001:
                    await asyncio.sleep(wait_s)
            elif count % BREATHE == 0:
                await asyncio.sleep(0)
                while self._is_behind():
                    await asyncio.sleep(0.001)
            self.clock.move(tick.received_ns)
            if tick.received_ns // MINUTE_NS != minute:
                # closing orders, squaring off, a new day: at their played time, not at some later second
                minute = tick.received_ns // MINUTE_NS
                await asyncio.to_thread(sandbox.exchange.duties)
            self.fanout.publish(tick)
            count += 1
            # orders at work are filled before the time goes on
            while not sandbox.keeper.idle:
                await asyncio.sleep(SETTLE_S)
        await asyncio.sleep(0.05)
        return Played(count, self.player.messages, self.player.digest)

    def _is_behind(self) -> bool:
        return self.server is not None and any(client.outbox.behind for client in self.server.clients)

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()
        self.bus.close()
        await asyncio.to_thread(self.api.stop)


class Heard(Bus):
    """The bus, which hands every tick to the api of this same process first, in step with the clock."""

    def __init__(self, take: Callable[[bytes, bytes], None]) -> None:
        super().__init__(_heard)
        self._take = take

    def carries(self, channel: object) -> bool:
        return True

    def send(self, topic: bytes, payload: bytes) -> None:
        self._take(topic, payload)
        super().send(topic, payload)


def _session(broker: str, clock: PlayedClock) -> BrokerSession:
    """Analyze mode asks for one too. It opens nothing: no address of a broker is known here."""
    now = clock.now()
    nothing = {name: Secret("past") for name in ("token", "sid", "view_token", "view_sid")}
    return BrokerSession(broker, "PAST", nothing, {}, now, now + ONE_SESSION, 1)


def _heard(name: Name, joined: bool) -> None:
    """A subscriber: every channel is there already."""


def _unasked(want: Want) -> None:
    """No broker to ask."""


def _stream(
    store: BarStore, key: InstrumentKey, wish: Wish, calendar: Calendar
) -> tuple[Sequence[Tick], int]:
    """The ticks of one instrument, and the second at which they begin."""
    bars = store.get(BarRequest(key.exchange, key.symbol, wish.interval, wish.start, wish.end))
    if not len(bars):
        days = f"--from {wish.start} --to {wish.end}"
        raise InvalidRequest(
            f"nothing of {key} {wish.interval} is stored from {wish.start} to {wish.end}; first: "
            f"algo history pull --symbols {key.symbol} --exchange {key.exchange} {days}",
            code="NO_STORED_DATA",
        )
    found = list(made.ticks(key, bars, wish.interval, calendar, _close_before(store, key, wish)))
    return found, found[0].received_ns // 1_000_000_000


def _close_before(store: BarStore, key: InstrumentKey, wish: Wish) -> float:
    """Of the last stored day before; 0 when there is none."""
    first, last = wish.start - timedelta(days=CLOSE_BEFORE_DAYS), wish.start - timedelta(days=1)
    for interval in ("D", "1h"):
        bars: Bars = store.get(BarRequest(key.exchange, key.symbol, interval, first, last))
        if len(bars):
            return bars.close[-1]
    return 0.0


def _settings(base: Settings, folder: Path, *, sim: bool) -> Settings:
    """An instance's rules and nothing of its data: its simulated side, in analyze mode, in ``folder``."""
    files = {one: folder / f"{one}.db" for one in ("main", "logs", "latency", "sandbox")}
    store = folder / "historify.duckdb"
    return replace(
        base,
        home=folder,
        host="127.0.0.1",
        port=0,
        databases=replace(base.databases, **files, historify=store),
        run_dir=folder / "run",
        log_dir=folder / "log",
        sim_hours=base.sim_hours if sim else "nse",
        sandbox=replace(base.sandbox, paper_trading=True),
        store=replace(base.store, url=str(store)),
        endpoints=dict.fromkeys(base.endpoints, NOWHERE),
        symbols=(),
    )


def _store_of(home: Path, name: str, *, sim: bool) -> str:
    """Without the credentials of a live instance, which nobody needs for this."""
    return store_settings.read(EnvFile.read(home / "instances" / f"{name}.env", home), home, sim=sim).url


def _instruments(
    home: Path, name: str, venue: Venue, keys: Sequence[InstrumentKey], clock: PlayedClock
) -> list[Instrument]:
    """From the instance's table; a share of which it has none is taken as it comes."""
    try:
        path = gateway_settings.databases(home, name, venue).main
        database = engine.open(path, venue, read_only=True)
    except AlgoError as exc:
        log.info("no instrument table: %s", exc)
        return [_plain(key) for key in keys]
    try:
        table = InstrumentStore(database, clock)
        return [replace(table.by_key(key) or _plain(key), expired=False) for key in keys]
    except StoreError as exc:
        log.info("no instrument table: %s", exc)
        return [_plain(key) for key in keys]
    finally:
        database.close()


def _plain(key: InstrumentKey) -> Instrument:
    """Raises ``InvalidRequest`` for a contract, whose lot nobody can guess."""
    if key.exchange not in ("NSE", "BSE", "NSE_INDEX", "BSE_INDEX"):
        raise InvalidRequest(
            f"{key} is not in the instance's instrument table, so its lot size is not known; "
            "start it once: algo up",
            code="SYMBOL_NOT_FOUND",
        )
    index = key.exchange.endswith("_INDEX")
    kind, tick_size = ("INDEX", Decimal(0)) if index else ("EQ", Decimal("0.05"))
    return Instrument(key, key.symbol, key.exchange, key.symbol, key.symbol, kind, 1, tick_size)
