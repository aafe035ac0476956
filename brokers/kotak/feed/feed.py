"""Kotak's feed: one of two market sockets, whichever is alive, and the order socket beside it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from brokers.contract import AsyncSessionSource, BrokerContext, FeedSink
from brokers.errors import LoginRequired, SettingsError
from brokers.feedloop import LoopRules, run_socket
from brokers.feedsocket import LOGIN_TIMEOUT_S, MarketSocket, Shared
from brokers.kotak import SPEC
from brokers.kotak.feed.hsm import HsmSocket
from brokers.kotak.feed.orders import OrderSocket
from brokers.kotak.feed.sfeed import SFeedSocket
from brokers.kotak.wire.orders import HEARTBEAT_EVERY_S
from brokers.model import FeedCounters, FeedState, Instrument, Mode
from brokers.wants import Wants

CHOICES = ("auto", "sfeed", "hsm")
OTHER = {"sfeed": "hsm", "hsm": "sfeed"}


@dataclass(frozen=True, slots=True)
class FeedRules:
    """Times in seconds.

    Attributes:
        switch_after_s: Without anything new for this long while the market is open and something is wanted,
            the other feed is tried. The answer to a subscription is nothing new: on its first day SFeed sent
            one snapshot and fell silent. Doubles each time the other feed is silent too (then it is the
            instruments that are quiet), up to ``switch_most_s``.
        switch_after_failures: Connections in a row that were never accepted.
        login_wait_s: Pause between two looks for a session.
    """

    switch_after_s: float = 30.0
    switch_most_s: float = 600.0
    switch_after_failures: int = 3
    login_wait_s: float = 2.0
    login_timeout_s: float = LOGIN_TIMEOUT_S
    heartbeat_s: float = HEARTBEAT_EVERY_S
    loop: LoopRules = field(default_factory=LoopRules)


class KotakFeed:
    """See ``brokers.contract.Feed``.

    Attributes:
        kind: The market feed in use, ``sfeed`` or ``hsm``.
        orders: Counters of the order socket; ``counters`` are the market feed's alone.
    """

    def __init__(
        self,
        context: BrokerContext,
        session: AsyncSessionSource,
        sink: FeedSink,
        *,
        rules: FeedRules | None = None,
    ) -> None:
        self.counters = FeedCounters()
        self.orders = FeedCounters()
        self.kind = ""
        self._context = context
        self._session = session
        self._sink = sink
        self._rules = rules or FeedRules()
        self._choice = context.options.get("KOTAK_FEED", "auto")
        if self._choice not in CHOICES:
            raise SettingsError(f"KOTAK_FEED is {self._choice}, expected one of {', '.join(CHOICES)}")
        self._wants = Wants(SPEC.capabilities.feed_instruments)
        self._state = FeedState.IDLE
        self._heard_at = 0.0
        self._moving = False
        shared = Shared(
            wants=self._wants,
            sink=sink,
            counters=self.counters,
            clock=context.clock,
            endpoints=dict(context.endpoints),
            heard=self._heard,
            accepted=self._accepted,
            login_timeout_s=self._rules.login_timeout_s,
        )
        self._sockets: dict[str, MarketSocket] = {"sfeed": SFeedSocket(shared), "hsm": HsmSocket(shared)}
        self._order_socket = OrderSocket(
            sink,
            context.instruments,
            self.orders,
            context.clock,
            greeting_timeout_s=self._rules.login_timeout_s,
            heartbeat_s=self._rules.heartbeat_s,
            connected=self._orders_connected,
        )

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        """Set the mode wanted for one instrument; ``None`` drops it. The one over the limit is refused."""
        if not self._wants.set(instrument, mode):
            self._sink.on_refused(
                instrument.key, f"Symbol count exceeds maximum ({self._wants.limit}) for kotak"
            )

    def rouse(self, *, new_socket: bool) -> None:
        """See ``brokers.contract.RousableFeed``."""
        if socket := self._sockets.get(self.kind):
            socket.rouser.rouse(socket.resubscribe, new_socket=new_socket)

    def handler(self, socket: str) -> MarketSocket | None:
        """See ``feedloop.ReplayableFeed``."""
        return self._sockets.get(socket)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._market_data())
            group.create_task(self._order_updates())

    # --- states --------------------------------------------------------------------------------------------

    def _report(self, state: FeedState, reason: str) -> None:
        self._state = state
        self._sink.on_state(state, f"{self.kind}: {reason}" if self.kind and reason else reason or self.kind)

    def _accepted(self, name: str) -> None:
        self._report(FeedState.LIVE, f"accepted by {name}, {len(self._wants)} instruments wanted")

    def _heard(self) -> None:
        self._heard_at = self._context.clock.monotonic()
        self._moving = True
        if self._state is not FeedState.LIVE:
            self._report(FeedState.LIVE, "data again")

    def _expects_data(self) -> bool:
        """Something is wanted whose market is open now."""
        now = self._context.clock.now()
        return any(self._context.calendar.is_open(exchange, now) for exchange in self._wants.exchanges())

    # --- market data ---------------------------------------------------------------------------------------

    async def _market_data(self) -> None:
        self.kind = await self._first_kind()
        patience_s = self._rules.switch_after_s
        while True:
            handler = self._sockets[self.kind]
            handler.failures = 0
            self._heard_at, self._moving = self._context.clock.monotonic(), False
            loop = asyncio.create_task(
                run_socket(
                    handler,
                    session=self._session,
                    counters=self.counters,
                    on_state=self._report,
                    expects_data=self._expects_data,
                    rules=self._rules.loop,
                    tap=self._context.tap,
                    name=self.kind,
                )
            )
            try:
                reason = await self._until_useless(loop, handler, patience_s)
            finally:
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)
            # both silent means quiet instruments, not a broken feed: look less and less often
            patience_s = (
                self._rules.switch_after_s if self._moving else min(self._rules.switch_most_s, patience_s * 2)
            )
            old, self.kind = self.kind, OTHER[self.kind]
            self.counters.reconnects += 1
            self._report(FeedState.CONNECTING, f"changed from {old} because {reason}")

    async def _first_kind(self) -> str:
        """``KOTAK_FEED``, else what the config service answered at login, else SFeed."""
        if self._choice != "auto":
            return self._choice
        while True:
            try:
                session = await self._session(0)
            except LoginRequired as exc:
                self._report(FeedState.LOGIN_NEEDED, str(exc))
                await asyncio.sleep(self._rules.login_wait_s)
                continue
            return session.attributes.get("feed") or "sfeed"

    async def _until_useless(self, loop: asyncio.Task[None], handler: MarketSocket, patience_s: float) -> str:
        """Why the other feed should be tried; never returns when the choice is fixed."""
        pause_s = min(1.0, self._rules.switch_after_s / 4)
        while True:
            done, _ = await asyncio.wait({loop}, timeout=pause_s)
            if done:
                loop.result()  # only ends by an error; let it be seen
            now = self._context.clock.monotonic()
            if not self._expects_data() or self._state is FeedState.LOGIN_NEEDED:
                self._heard_at = now
            if self._choice != "auto":
                continue
            if handler.failures >= self._rules.switch_after_failures:
                return f"{handler.failures} connections in a row were not accepted"
            if now - self._heard_at >= patience_s:
                return f"it sent nothing new for {now - self._heard_at:.0f} s in market hours"

    # --- orders --------------------------------------------------------------------------------------------

    async def _order_updates(self) -> None:
        await run_socket(
            self._order_socket,
            session=self._session,
            counters=self.orders,
            on_state=self._order_state,
            # an account without orders is silent for hours, and that is well
            expects_data=lambda: False,
            rules=self._rules.loop,
        )

    def _orders_connected(self) -> None:
        self.counters.order_connects += 1

    def _order_state(self, state: FeedState, reason: str) -> None:
        """Trouble of the order socket shows beside the market feed's state, not instead of it."""
        if state in (FeedState.BACKOFF, FeedState.LOGIN_NEEDED):
            self._sink.on_state(self._state, f"order updates: {reason}")
