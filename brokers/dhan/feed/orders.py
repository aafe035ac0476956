"""The order feed's socket: text frames -> ``OrderUpdate``.

Source: Dhan API v2, "Live Order Update".
"""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection

from brokers.contract import BrokerSession
from brokers.dhan.feed.socket import Home
from brokers.dhan.mapping import orders
from brokers.dhan.wire import orders as wire
from brokers.errors import WireError
from brokers.feedstate import ORDER_UPDATES
from brokers.model import FeedState


class OrderSocket:
    """The order-update connection; a ``feedloop.SocketHandler``.

    Silent by nature, and without replay: after a gap the order book tells.
    """

    name = ORDER_UPDATES

    def __init__(self, feed: Home) -> None:
        self.dropped: BrokerSession | None = None
        self._feed = feed
        self._session: BrokerSession | None = None
        self._heard = False

    def expects_data(self) -> bool:
        return False

    def url(self, session: BrokerSession) -> str:
        return self._feed.context.endpoints["order_updates"]

    async def opened(self, socket: ClientConnection, session: BrokerSession) -> None:
        self._session, self._heard = session, False
        await socket.send(wire.login(session.account, session.secrets["token"].reveal()))
        self._feed.counters.order_connects += 1
        self._feed.report(self.name, FeedState.LIVE, "")

    async def resubscribe(self, socket: ClientConnection) -> None:
        """Nothing is subscribed here."""

    def frame(self, data: bytes | str, received_ns: int) -> None:
        self._heard = True
        raw = data.encode() if isinstance(data, str) else data
        try:
            alert = wire.read(raw)
            if alert is None:
                return
            update = orders.update(alert, self._feed.context.instruments, received_ns)
        except WireError as exc:
            self._feed.bad_frame(raw, str(exc))
            return
        by_packet = self._feed.counters.by_packet
        by_packet["order alert"] = by_packet.get("order alert", 0) + 1
        self._feed.sink.on_order(update)

    def closed(self) -> None:
        if self._session is not None and not self._heard:
            self.dropped = self._session
        self._session = None
