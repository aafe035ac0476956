"""The feed of a broker with one market socket and one for orders, both asked in texts.

A broker with more (pools, a second feed, deep books) joins ``feedsocket`` and ``feedloop`` by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from websockets.asyncio.client import ClientConnection

from brokers.contract import AsyncSessionSource, BrokerContext, BrokerSession, FeedSink
from brokers.errors import LoginRequired, WireError
from brokers.feedloop import AuthRefused, run_socket
from brokers.feedsocket import MarketSocket, Shared
from brokers.feedstate import Sessions
from brokers.model import FeedCounters, FeedState, Instrument, Mode, OrderUpdate
from brokers.spec import BrokerSpec
from brokers.wants import Merged, Wants


class PlainSocket(MarketSocket):
    """The market socket, endpoint ``feed``. Subclasses say the words."""

    name = "feed"

    def _hello(self, session: BrokerSession) -> str | bytes:
        raise NotImplementedError

    def _request(self, instruments: Sequence[Instrument], mode: Mode, *, wanted: bool) -> Iterable[str]:
        """Messages that ask for these instruments, or end them."""
        raise NotImplementedError

    def _heard(self, data: bytes | str) -> Iterable[Merged | None]:
        """Write each packet of a message into what is known of its instrument (``self._wants.find``).

        Yields:
            What was written to; None for an instrument nobody asked for.

        Raises:
            WireError: Unreadable; counted, and the stream goes on.
            LoginRequired: The broker refuses the session; a newer one is asked for.
        """
        raise NotImplementedError

    async def _login(self, socket: ClientConnection, session: BrokerSession) -> None:
        await socket.send(self._hello(session))

    def _reset(self) -> None:
        self._reset_subscriptions()

    def _reset_subscriptions(self) -> None:
        self._sent: dict[Instrument, Mode] = {}

    async def _sync(self, socket: ClientConnection) -> None:
        now = {merged.instrument: merged.mode for merged in self._wants}
        for before, after, wanted in ((self._sent, now, False), (now, self._sent, True)):
            for mode in Mode:
                changed = [one for one, its in before.items() if its is mode and after.get(one) is not mode]
                for text in self._request(changed, mode, wanted=wanted) if changed else ():
                    await socket.send(text)
        self._sent = now

    def frame(self, data: bytes | str, received_ns: int) -> None:
        """One message; see ``feedloop.SocketHandler``."""
        try:
            for merged in self._heard(data):
                self.count("packet")
                if merged is None:
                    self._shared.counters.unknown_instruments += 1
                    continue
                live, merged.fresh = not merged.fresh, False
                self.emit(merged, received_ns, live=live)
        except WireError as exc:
            self.bad(exc.frame, str(exc))
        except LoginRequired as exc:
            raise AuthRefused(str(exc)) from exc


class PlainOrders:
    """The order socket, endpoint ``order_updates``; a ``feedloop.SocketHandler``, silent by nature.

    Args:
        hello: The first message; holds the token.
        read: One message; None when it is not about an order. Raises ``WireError``, or ``LoginRequired``.
    """

    def __init__(
        self,
        context: BrokerContext,
        sink: FeedSink,
        counters: FeedCounters,
        hello: Callable[[BrokerSession], str],
        read: Callable[[bytes | str, int], OrderUpdate | None],
    ) -> None:
        self._url = context.endpoints["order_updates"]
        self._sink = sink
        self._counters = counters
        self._hello = hello
        self._read = read

    def url(self, session: BrokerSession) -> str:
        """The endpoint."""
        return self._url

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        """Log in; nothing is subscribed."""
        await socket.send(self._hello(session))
        self._counters.order_connects += 1

    def frame(self, data: bytes | str, received_ns: int) -> None:
        """One message; what nobody can read is counted and kept."""
        try:
            update = self._read(data, received_ns)
        except WireError as exc:
            self._counters.parse_errors += 1
            self._sink.on_bad_frame(exc.frame, str(exc))
            return
        except LoginRequired as exc:
            raise AuthRefused(str(exc)) from exc
        if update is not None:
            self._sink.on_order(update)

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Nothing is subscribed here."""

    def closed(self) -> None:
        """Nothing belongs to a socket here."""


class PlainFeed:
    """Implements ``contract.Feed``: both sockets on one event loop. Subclasses read order messages.

    Attributes:
        spec: Its ``feed_instruments`` is the most that is carried; the one over it is refused.
        market: Makes the market socket.
    """

    spec: BrokerSpec
    market: type[PlainSocket]

    def __init__(self, context: BrokerContext, session: AsyncSessionSource, sink: FeedSink) -> None:
        self.counters = FeedCounters()
        self._context = context
        self._session = Sessions(session)
        self._sink = sink
        self._wants = Wants(self.spec.capabilities.feed_instruments)
        shared = Shared(
            wants=self._wants,
            sink=sink,
            counters=self.counters,
            clock=context.clock,
            endpoints=dict(context.endpoints),
            heard=self._session.worked,
            accepted=self._accepted,
        )
        self._market = self.market(shared)
        self._orders = PlainOrders(context, sink, self.counters, self._order_hello, self._order_read)

    def _order_hello(self, session: BrokerSession) -> str:
        """First message of the order socket; holds the token."""
        raise NotImplementedError

    def _order_read(self, data: bytes | str, received_ns: int) -> OrderUpdate | None:
        """One message of the order socket; see ``PlainOrders``."""
        raise NotImplementedError

    async def run(self) -> None:
        """See ``contract.Feed``."""
        async with asyncio.TaskGroup() as group:
            market = run_socket(
                self._market,
                session=self._session,
                counters=self.counters,
                on_state=self._sink.on_state,
                expects_data=self._expects_data,
                tap=self._context.tap,
                name=self._market.name,
            )
            orders = run_socket(
                self._orders,
                session=self._session,
                counters=FeedCounters(),
                on_state=self._order_state,
                expects_data=lambda: False,
            )
            group.create_task(market)
            group.create_task(orders)

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        """See ``contract.Feed``. The one over the limit is refused; the others stay."""
        if not self._wants.set(instrument, mode):
            self._sink.on_refused(instrument.key, f"Symbol count exceeds maximum ({self._wants.limit})")

    def rouse(self, *, new_socket: bool) -> None:
        """See ``contract.RousableFeed``."""
        self._market.rouser.rouse(self._market.resubscribe, new_socket=new_socket)

    def _accepted(self, name: str) -> None:
        self._sink.on_state(FeedState.LIVE, f"accepted by {name}")

    def _expects_data(self) -> bool:
        now = self._context.clock.now()
        return any(self._context.calendar.is_open(exchange, now) for exchange in self._wants.exchanges())

    def _order_state(self, state: FeedState, reason: str) -> None:
        """Trouble of the order socket shows beside the market feed, which stays what it is."""
        if state in (FeedState.BACKOFF, FeedState.LOGIN_NEEDED):
            self._sink.on_state(state, f"order updates: {reason}")
