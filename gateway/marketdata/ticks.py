"""Newest ticks of the own feed, heard over ZeroMQ by one thread.

Only symbols somebody asked about are heard: ``want`` subscribes to the prefix ``EXCHANGE_SYMBOL_``, which the
bus serves without subscribing anything at the broker, so a burst of ticks costs the order path nothing.
``stream`` goes further: it subscribes the full DEPTH topic, which makes the feed subscribe the symbol at the
broker, until nobody has asked for a while.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import zmq

from brokers.clock import Clock
from brokers.model import Depth, InstrumentKey, Level, Mode, Quote

log = logging.getLogger(__name__)

MOST_SYMBOLS = 2000
MOST_STREAMED = 200
STREAM_S = 300.0
"""How long a streamed symbol is kept after the last question about it."""
LOOK_EVERY_MS = 30_000


class TickCache:
    """One SUB socket, one thread that owns it, the newest payload per topic."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._address = f"tcp://{host}:{port}"
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted: OrderedDict[InstrumentKey, None] = OrderedDict()
        self._streamed: OrderedDict[InstrumentKey, float] = OrderedDict()
        self._orders: list[tuple[bool, bytes]] = []
        self._newest: dict[bytes, bytes] = {}
        # what was made of the newest payload of a channel, beside what it was made of
        self._decoded: dict[tuple[InstrumentKey, Mode], tuple[bytes, dict[str, Any] | None]] = {}
        self._quotes: dict[tuple[InstrumentKey, Mode], tuple[dict[str, Any], Quote | None]] = {}
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._stop = False
        self._listeners: tuple[Callable[[bytes, bytes], None], ...] = ()
        self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)
        self.heard = 0
        self.gaps = 0
        """Messages missing by their numbers since the start."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop = True
        self._knock()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def listen(self, listener: Callable[[bytes, bytes], None]) -> None:
        """Tell one more listener every tick heard, as topic and payload.

        On the cache's own thread: it must not block.
        """
        self._listeners = (*self._listeners, listener)

    def want(self, keys: Iterable[InstrumentKey]) -> None:
        """Hear these from now on; the least recently wanted ones make room."""
        with self._lock:
            before = len(self._orders)
            for key in keys:
                if key in self._streamed:
                    self._streamed[key] = self._clock.monotonic()
                    self._streamed.move_to_end(key)
                if key in self._wanted:
                    self._wanted.move_to_end(key)
                    continue
                self._wanted[key] = None
                self._orders.append((True, _prefix(key)))
                if len(self._wanted) > MOST_SYMBOLS:
                    dropped, _ = self._wanted.popitem(last=False)
                    self._orders.append((False, _prefix(dropped)))
            changed = len(self._orders) != before
        if changed:
            self._knock()

    def stream(self, keys: Iterable[InstrumentKey]) -> None:
        """Have the feed stream these in full until nobody asked for ``STREAM_S``; the oldest make room."""
        now = self._clock.monotonic()
        with self._lock:
            for key in keys:
                if key not in self._streamed:
                    self._orders.append((True, _depth_topic(key)))
                self._streamed[key] = now
                self._streamed.move_to_end(key)
            while len(self._streamed) > MOST_STREAMED:
                self._orders.append((False, _depth_topic(self._streamed.popitem(last=False)[0])))
        self._knock()

    @property
    def streamed(self) -> int:
        return len(self._streamed)

    def quote(self, key: InstrumentKey, max_age_s: float) -> Quote | None:
        """A quote from the newest DEPTH or QUOTE tick; None when there is none that is fresh and whole.

        A tick without a day's range or without a bid and an ask is not a quote: the encoder writes 0 for what
        the broker never sent.
        """
        for mode in (Mode.DEPTH, Mode.QUOTE):
            data = self._fresh(key, mode, max_age_s)
            if data is None:
                continue
            held = self._quotes.get((key, mode))
            if held is None or held[0] is not data:
                held = self._quotes[(key, mode)] = (data, _quote_of(key, data))
            if held[1] is not None:
                return held[1]
        return None

    def last_price(self, key: InstrumentKey, max_age_s: float) -> float | None:
        best: tuple[int, float] | None = None
        for mode in Mode:
            data = self._fresh(key, mode, max_age_s)
            if data is not None and data.get("ltp"):
                candidate = (int(data["timestamp"]), float(data["ltp"]))
                best = candidate if best is None else max(best, candidate)
        return best[1] if best else None

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The last tick of each of the most recently wanted symbols, for a page: any age, with its time."""
        with self._lock:
            keys = list(reversed(self._wanted))
        rows: list[dict[str, Any]] = []
        for key in keys:
            found = [d for mode in Mode if (d := self._payload(key, mode)) is not None]
            if found:
                data = max(found, key=lambda d: int(d.get("timestamp", 0)))
                names = ("ltp", "change", "change_percent", "bid", "ask", "volume", "oi", "timestamp")
                row = {"exchange": key.exchange, "symbol": key.symbol}
                rows.append({**row, **{n: data[n] for n in names if n in data}})
            if len(rows) == limit:
                break
        return rows

    def raw(self, key: InstrumentKey, mode: Mode) -> bytes | None:
        """The newest payload of one channel as it came, any age."""
        return self._newest.get(_prefix(key) + mode.name.encode())

    def _payload(self, key: InstrumentKey, mode: Mode) -> dict[str, Any] | None:
        """Decoded once per tick; nobody changes it."""
        raw = self.raw(key, mode)
        if raw is None:
            return None
        held = self._decoded.get((key, mode))
        if held is None or held[0] is not raw:
            if len(self._decoded) > 3 * MOST_SYMBOLS:
                self._decoded.clear()
                self._quotes.clear()
            data = msgspec.json.decode(raw)
            held = self._decoded[(key, mode)] = (raw, data if isinstance(data, dict) else None)
        return held[1]

    def _fresh(self, key: InstrumentKey, mode: Mode, max_age_s: float) -> dict[str, Any] | None:
        data = self._payload(key, mode)
        if data is None:
            return None
        age_ms = self._clock.time_ns() // 1_000_000 - int(data.get("timestamp", 0))
        return data if age_ms <= max_age_s * 1000 else None

    def _knock(self) -> None:
        with contextlib.suppress(OSError):  # full: the thread is about to wake anyway
            self._wake.send(b"x")

    def _run(self) -> None:
        context = zmq.Context()
        sub: zmq.Socket[bytes] = context.socket(zmq.SUB)
        sub.setsockopt(zmq.LINGER, 0)
        sub.setsockopt(zmq.RECONNECT_IVL, 100)
        sub.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        sub.connect(self._address)
        poller = zmq.Poller()
        poller.register(sub, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        try:
            while not self._stop:
                for ready, _ in poller.poll(LOOK_EVERY_MS):
                    if ready is sub:
                        self._receive(sub)
                    else:
                        self._woken.recv(4096)
                self._release()
                self._obey(sub)
        except Exception:
            # top of the thread
            log.exception("tick cache failed; quotes come from the broker from now on")
        finally:
            sub.close()
            context.term()

    def _receive(self, sub: zmq.Socket[bytes]) -> None:
        for _ in range(1000):
            # asked first: the exception that says "nothing more" costs five times the question
            if not int(sub.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return
            try:
                parts = sub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(parts) == 2:
                self.take(parts[0], parts[1])

    def take(self, topic: bytes, payload: bytes) -> None:
        """One tick of the feed, and every listener is told.

        One thread's: that of the cache, or of whoever plays the past into a cache that was not started.
        """
        before = self._newest.get(topic)
        if before is not None:
            # a number lower than the last one is a feed that began anew
            self.gaps += max(0, _seq(payload) - _seq(before) - 1)
        self._newest[topic] = payload
        self.heard += 1
        self._tell(topic, payload)

    def _tell(self, topic: bytes, payload: bytes) -> None:
        for listener in self._listeners:
            try:
                listener(topic, payload)
            except Exception:
                # one listener's mistake must not make the others, and the quotes, deaf
                log.exception("a listener of ticks failed")

    def _release(self) -> None:
        """Cancel what nobody asked about for a while."""
        oldest_allowed = self._clock.monotonic() - STREAM_S
        with self._lock:
            while self._streamed and next(iter(self._streamed.values())) < oldest_allowed:
                self._orders.append((False, _depth_topic(self._streamed.popitem(last=False)[0])))

    def _obey(self, sub: zmq.Socket[bytes]) -> None:
        if not self._orders:
            return
        with self._lock:
            orders, self._orders = self._orders, []
        for wanted, prefix in orders:
            sub.setsockopt(zmq.SUBSCRIBE if wanted else zmq.UNSUBSCRIBE, prefix)
            if not wanted:
                for topic in [t for t in self._newest if t.startswith(prefix)]:
                    del self._newest[topic]


def _seq(payload: bytes) -> int:
    """A tick's number on its channel, cut out of its JSON; 0 when it has none."""
    at = payload.find(b'"seq":')
    end = payload.find(b",", at)
    digits = payload[at + 6 : end if end > at else -1].strip() if at >= 0 else b""
    return int(digits) if digits.isdigit() else 0


def _prefix(key: InstrumentKey) -> bytes:
    return f"{key.exchange}_{key.symbol}_".encode()


def _depth_topic(key: InstrumentKey) -> bytes:
    return _prefix(key) + Mode.DEPTH.name.encode()


def _quote_of(key: InstrumentKey, data: dict[str, Any]) -> Quote | None:
    def number(name: str) -> float:
        return float(data.get(name) or 0)

    book = _book_of(data)
    bid, ask = number("bid"), number("ask")
    bid_quantity, ask_quantity = int(number("bid_quantity")), int(number("ask_quantity"))
    if book is not None and not bid and book.bids:
        bid, bid_quantity = book.bids[0].price, book.bids[0].quantity
    if book is not None and not ask and book.asks:
        ask, ask_quantity = book.asks[0].price, book.asks[0].quantity
    whole = all(number(name) > 0 for name in ("ltp", "open", "high", "low", "close"))
    if not whole or not (bid or ask or key.exchange.endswith("_INDEX")):
        return None
    ltt = data.get("ltt")
    return Quote(
        key=key,
        ltp=number("ltp"),
        open=number("open"),
        high=number("high"),
        low=number("low"),
        prev_close=number("close"),
        volume=int(number("volume")),
        oi=int(number("oi")),
        bid=bid,
        ask=ask,
        bid_quantity=bid_quantity,
        ask_quantity=ask_quantity,
        last_quantity=int(number("last_quantity")),
        average_price=number("average_price"),
        total_buy_quantity=int(number("total_buy_quantity")),
        total_sell_quantity=int(number("total_sell_quantity")),
        last_trade_ms=int(ltt) if ltt else None,
        depth=book,
    )


def _book_of(data: dict[str, Any]) -> Depth | None:
    raw = data.get("depth")
    if not isinstance(raw, dict):
        return None

    def side(name: str) -> tuple[Level, ...]:
        return tuple(
            Level(float(r["price"]), int(r["quantity"]), int(r.get("orders") or 0)) for r in raw.get(name, ())
        )

    return Depth(bids=side("buy"), asks=side("sell"))
