"""The broker's feed joined with the hub: ticks in, wishes out, and where the feed's session comes from."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol

from brokers.contract import BrokerSession, DeepFeed, Feed, FeedSink
from brokers.errors import BrokerDown, LoginRequired
from brokers.model import FeedState, InstrumentKey, OrderUpdate, Tick
from gateway.stream.badframes import BadFrames
from gateway.stream.fanout import Fanout
from gateway.stream.hub import Book, Want
from gateway.stream.recorder import Recorder

log = logging.getLogger(__name__)

RENEW_PATH = "/internal/session/renew"
ORDERS_REMEMBERED = 20_000
SAMPLE, LATENCIES = 16, 4096
MUTE_SHOWN_S = 6.0
"""A feed that was mute says so for this long after it came back: who asks now and then must not miss it."""


class Upstream:
    """What a broker's feed talks to (``FeedSink``) and the one place that tells it what is wanted.

    Args:
        on_order: Each order update, duplicates included.
        on_new_order: Those that say something new, for the consumers.
    """

    def __init__(
        self,
        *,
        on_order: Callable[[OrderUpdate], None],
        on_new_order: Callable[[OrderUpdate], None],
        bad_frames: BadFrames,
        restart_wait_s: float = 1.0,
    ) -> None:
        self._on_order = on_order
        self._on_new_order = on_new_order
        self._bad_frames = bad_frames
        self._restart_wait_s = restart_wait_s
        self._fanout: Fanout | None = None
        self._seen: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._deep: set[InstrumentKey] = set()
        self.feed: Feed | None = None
        self.state = FeedState.IDLE
        self.reason = "not started"
        self.reported = False
        self._was_live = False
        self._mute = ""
        self._back_s = 0.0
        self.crashes = 0
        self.recorder: Recorder | None = None
        self._running: asyncio.Task[None] | None = None
        self._renewing = False
        self._sampled = 0
        self.latencies_ns: deque[int] = deque(maxlen=LATENCIES)
        """From a frame's arrival to its ticks being handed out, one in ``SAMPLE`` ticks."""

    def join(self, fanout: Fanout) -> None:
        self._fanout = fanout

    def want(self, want: Want) -> None:
        """Carry one wish to the feed; a feed made later is told everything at once."""
        feed, key = self.feed, want.instrument.key
        if feed is None:
            return
        if self.recorder is not None:
            self.recorder.want(want)
        feed.want(want.instrument, want.mode)
        if not (want.levels or key in self._deep):
            return
        if isinstance(feed, DeepFeed):
            refusal = feed.want_levels(want.instrument, want.levels)
        else:
            refusal = "the broker's feed has no deeper book"
        self._deep.add(key) if want.levels and not refusal else self._deep.discard(key)
        if refusal:
            log.warning("%s: %s", key, refusal)
        if self._fanout is not None:
            self._fanout.hub.too_deep(key, refusal)

    async def run(self, make: Callable[[FeedSink], Feed]) -> None:
        """Keep a feed running until cancelled. One that ends by itself has a bug: log it, make a new one."""
        wait_s = self._restart_wait_s
        while True:
            try:
                self.feed = make(self)
                self._deep.clear()
                for want in self._hub_wants():
                    self.want(want)
                self._running = asyncio.create_task(self.feed.run())
                await self._running
                log.error("the broker feed ended by itself")
            except asyncio.CancelledError:
                if not self._renewing:
                    raise
                self._renewing = False
                continue
            except Exception:
                # top of the feed's task: a new one is made below
                log.exception("the broker feed failed")
            finally:
                self.feed = None
            self.crashes += 1
            self.on_state(FeedState.BACKOFF, f"the feed failed; a new one in {wait_s:.0f} s (see the log)")
            await asyncio.sleep(wait_s)
            wait_s = min(30.0, wait_s * 2)

    def renew(self, reason: str) -> None:
        """Drop the feed and make a new one at once: new sockets, nothing remembered."""
        self.on_state(FeedState.CONNECTING, reason)
        if self._running is not None and not self._running.done():
            self._renewing = True
            self._running.cancel()

    # FeedSink ------------------------------------------------------------------------------------------

    def on_tick(self, tick: Tick) -> None:
        if self._fanout is not None:
            self._fanout.publish(tick)
            self._sampled += 1
            if not self._sampled % SAMPLE:
                self.latencies_ns.append(time.time_ns() - tick.received_ns)

    def on_book(self, key: InstrumentKey, levels: int, book: Book | None, received_ns: int) -> None:
        if self._fanout is not None:
            self._fanout.publish_book(key, levels, book, received_ns)

    def on_order(self, update: OrderUpdate) -> None:
        self._on_order(update)
        order = update.order
        # the same change may come twice: broker feed and postback (openalgo-api section 4)
        mark = (order.status.value, order.filled_quantity)
        if self._seen.get(order.order_id) == mark:
            return
        self._seen[order.order_id] = mark
        self._seen.move_to_end(order.order_id)
        if len(self._seen) > ORDERS_REMEMBERED:
            self._seen.popitem(last=False)
        self._on_new_order(update)

    def on_state(self, state: FeedState, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            level = logging.INFO if state in (FeedState.LIVE, FeedState.CONNECTING) else logging.WARNING
            log.log(level, "broker feed: %s%s", state.value, f" ({reason})" if reason else "")
        if self.recorder is not None:
            self.recorder.state(state, reason)
        was_up = self.state in (FeedState.LIVE, FeedState.SILENT)
        if state is FeedState.SILENT:
            self._mute = reason or state.value
        elif state is FeedState.LIVE and self.state is not FeedState.LIVE:
            self._was_live, self._back_s = True, time.monotonic()
        self.state, self.reason = state, reason
        self.reported = self.reported or state is not FeedState.CONNECTING
        if was_up and state not in (FeedState.LIVE, FeedState.SILENT) and self._fanout is not None:
            self._fanout.lost()

    @property
    def trouble(self) -> str:
        """Why a feed that has been live is not, or was mute a moment ago; empty when all is well."""
        if self.state not in (FeedState.LIVE, FeedState.IDLE):
            return (self.reason or self.state.value) if self._was_live else ""
        if self._mute and time.monotonic() - self._back_s < MUTE_SHOWN_S:
            return f"live again; it was mute: {self._mute}"
        self._mute = ""
        return ""

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        self._bad_frames.keep(frame, reason)

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        log.warning("broker refused %s: %s", key, reason)
        if self._fanout is not None:
            self._fanout.refuse(key, reason)

    def _hub_wants(self) -> list[Want]:
        return self._fanout.hub.wants() if self._fanout is not None else []


class Link(Protocol):
    """The way to the api process."""

    async def post(self, path: str, body: object, *, timeout_s: float = 10.0) -> tuple[int, Any]: ...


class Sessions:
    """Where the feed's broker session comes from: the stored one, else the api process is asked for a newer.

    The feed never logs in: a second login would kill the first one's token.

    Args:
        stored: The newest stored session (blocking; run in a worker thread).
        on_session: Told of each session handed out, so that its secrets never reach a log.
        patience_s: How long an api process that does not answer is asked again before that is reported; it
            starts together with the feed.
    """

    def __init__(
        self,
        link: Link,
        stored: Callable[[], BrokerSession],
        on_session: Callable[[BrokerSession], None],
        *,
        patience_s: float = 3.0,
    ) -> None:
        self._link = link
        self._stored = stored
        self._on_session = on_session
        self._patience_s = patience_s
        # several sockets of one feed fail together; one question is enough
        self._asking = asyncio.Lock()

    async def __call__(self, failed_generation: int) -> BrokerSession:
        """``brokers.contract.AsyncSessionSource``."""
        async with self._asking:
            session = await self._newer(failed_generation)
            if session is None:
                await self._renew(failed_generation)
                session = await self._newer(failed_generation)
        if session is None:
            raise LoginRequired("the renewed broker session is not stored yet")
        self._on_session(session)
        return session

    async def _newer(self, failed_generation: int) -> BrokerSession | None:
        try:
            session = await asyncio.to_thread(self._stored)
        except LoginRequired:
            return None
        return session if session.generation > failed_generation else None

    async def _renew(self, failed_generation: int) -> None:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._patience_s
        while True:
            try:
                status, body = await self._link.post(
                    RENEW_PATH, {"failed_generation": failed_generation}, timeout_s=60.0
                )
                break
            except BrokerDown as exc:
                if loop.time() >= give_up_s:
                    raise LoginRequired(str(exc)) from exc
            await asyncio.sleep(0.1)
        if status != 200:
            message = body.get("message") if isinstance(body, dict) else None
            raise LoginRequired(str(message or f"session renewal answered HTTP {status}"))
