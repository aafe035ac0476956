"""Dhan's feed: market sockets in a pool, deep books and the order socket beside them, one stream of ticks.

Source: Dhan API v2, "Live Market Feed" (5 connections, 5000 instruments each).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from brokers.contract import AsyncSessionSource, BrokerContext, BrokerSession, FeedSink
from brokers.dhan.auth import DhanAuth
from brokers.dhan.feed.depth import Books, BookSocket
from brokers.dhan.feed.orders import OrderSocket
from brokers.dhan.feed.socket import Key, MarketSocket
from brokers.dhan.feed.state import State
from brokers.dhan.wire.market import SEGMENT_CODES
from brokers.errors import BrokerError, LoginRequired, SettingsError
from brokers.feedloop import LoopRules, run_socket
from brokers.feedstate import Reports, Sessions
from brokers.model import FeedCounters, FeedState, Instrument, Mode
from brokers.transport import Transport

SOCKETS = 5
PER_SOCKET = 5000


class DhanFeed:
    """Implements ``contract.Feed``.

    Args:
        rules: Times of the socket loop; tests hand in short ones.
        per_socket: Instruments of one connection.
    """

    def __init__(
        self,
        context: BrokerContext,
        session: AsyncSessionSource,
        sink: FeedSink,
        *,
        rules: LoopRules | None = None,
        per_socket: int = PER_SOCKET,
    ) -> None:
        for name in ("feed", "order_updates"):
            # checked here because a later message about a bad address would show the token in it
            if not context.endpoints[name].startswith(("ws://", "wss://")):
                raise SettingsError(f"Dhan: the {name} address must start with ws:// or wss://")
        self.counters = FeedCounters()
        self.context = context
        self.sink = sink
        self.states: dict[Key, State] = {}
        self.sessions = Sessions(session)
        self._rules = rules
        self._per_socket = per_socket
        self._auth = DhanAuth(context, Transport(read_retries=0))
        self._reports = Reports(sink)
        self._hours: dict[str, tuple[int, bool]] = {}
        self._homes: dict[Key, MarketSocket] = {}
        self._books = Books(self)
        self._tasks: asyncio.TaskGroup | None = None
        self._sockets = [MarketSocket(self, "market 1", per_socket)]

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._keep(OrderSocket(self)))
                for socket in self._sockets:
                    tasks.create_task(self._keep(socket))
                for books in self._books.sockets:
                    tasks.create_task(self._keep(books))
        finally:
            self._tasks = None

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        """See ``contract.Feed``. The instrument over the pool's limit is refused; the others stay."""
        segment = SEGMENT_CODES.get(instrument.broker_exchange)
        if segment is None or not instrument.token.isdigit():
            self.sink.on_refused(instrument.key, f"Dhan's feed has no segment {instrument.broker_exchange}")
            return
        key = (segment, int(instrument.token))
        home = self._homes.get(key)
        if mode is None:
            if home is not None:
                del self._homes[key]
                self.states.pop(key, None)
                home.drop(key)
            return
        home = home or self._room(instrument)
        if home is None:
            return
        self._homes[key] = home
        state = self.states.get(key)
        if state is None:
            self.states[key] = State(instrument, mode)
        else:
            state.want(mode)
        home.put(key, instrument, mode)

    def rouse(self, *, new_socket: bool) -> None:
        """See ``contract.RousableFeed``."""
        for socket in self._sockets:
            if socket.wanted:
                socket.rouser.rouse(socket.resubscribe, new_socket=new_socket)

    def handler(self, socket: str) -> MarketSocket | BookSocket | None:
        """See ``feedloop.ReplayableFeed``."""
        sockets: list[MarketSocket | BookSocket] = [*self._sockets, *self._books.sockets]
        return next((one for one in sockets if one.name == socket), None)

    def want_levels(self, instrument: Instrument, levels: int) -> str:
        """See ``contract.DeepFeed``. Over the limit the five levels of the live feed go on."""
        refusal, new = self._books.want(instrument, levels)
        if new is not None and self._tasks is not None:
            self._tasks.create_task(self._keep(new))
        return refusal

    def _room(self, instrument: Instrument) -> MarketSocket | None:
        for socket in self._sockets:
            if len(socket.wanted) < socket.capacity:
                return socket
        if len(self._sockets) < SOCKETS:
            socket = MarketSocket(self, f"market {len(self._sockets) + 1}", self._per_socket)
            self._sockets.append(socket)
            if self._tasks is not None:
                self._tasks.create_task(self._keep(socket))
            return socket
        most = sum(socket.capacity for socket in self._sockets)
        self.sink.on_refused(instrument.key, f"Symbol count exceeds maximum ({most}) for dhan")
        return None

    def spread(self, socket: MarketSocket) -> None:
        """Dhan said "too many instruments" (804): move the newer half to other sockets."""
        socket.capacity = max(1, len(socket.wanted) // 2)
        for key in list(socket.wanted)[socket.capacity :]:
            instrument, mode = socket.wanted[key]
            self.want(instrument, None)
            self.want(instrument, mode)

    def is_open(self, exchange: str, at_ns: int) -> bool:
        """Whether the exchange is in session; asked for every packet, so kept for a second."""
        second = at_ns // 1_000_000_000
        known = self._hours.get(exchange)
        if known is None or known[0] != second:
            known = (second, self.context.calendar.is_open(exchange, datetime.fromtimestamp(second, UTC)))
            self._hours[exchange] = known
        return known[1]

    def bad_frame(self, frame: bytes, reason: str) -> None:
        self.counters.parse_errors += 1
        self.sink.on_bad_frame(frame, reason)

    def report(self, name: str, state: FeedState, reason: str) -> None:
        self._reports.put(name, state, reason)

    async def _keep(self, handler: MarketSocket | OrderSocket | BookSocket) -> None:
        await run_socket(
            handler,
            session=partial(self._session_for, handler),
            counters=self.counters,
            on_state=partial(self.report, handler.name),
            expects_data=handler.expects_data,
            rules=self._rules,
            tap=None if isinstance(handler, OrderSocket) else self.context.tap,
            name=handler.name,
        )

    async def _session_for(
        self, handler: MarketSocket | OrderSocket | BookSocket, failed: int
    ) -> BrokerSession:
        """Newest session for a socket.

        Dhan mostly answers a bad token by cutting the socket without a word, so a drop before any frame is
        cleared up with a profile call.
        """
        dropped, handler.dropped = handler.dropped, None
        if dropped is not None and not await self._is_good(dropped):
            failed = max(failed, dropped.generation)
        return await self.sessions(failed)

    async def _is_good(self, session: BrokerSession) -> bool:
        try:
            await asyncio.to_thread(self._auth.check, session)
        except LoginRequired:
            return False
        except BrokerError:
            return True  # not known to be bad; the loop backs off anyway
        return True
