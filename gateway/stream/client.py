"""One WebSocket connection, and what replies to it need to know about the instance."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.scopes import ALL, Scope
from gateway.stream import protocol
from gateway.stream.fanout import Holder
from gateway.stream.hub import Around, Channel
from gateway.stream.orders import Follower
from gateway.stream.outbox import Connection, Outbox
from gateway.tickets import Visitor

AUTH_TIMEOUT = 4401
"""Close code: no key in time, too many wrong ones, or not allowed any more."""
PAGE = 0
"""In place of a key's id: one of the instance's own pages."""


@dataclass(slots=True)
class ServerCounts:
    """Since the start of the process."""

    connections: int = 0
    stalled: int = 0
    revoked: int = 0
    refused_upgrades: int = 0
    wrong_keys: int = 0
    closed_sent: int = 0
    closed_replaced: int = 0


class Client:
    """One WebSocket connection; a consumer of the hub."""

    listens = True

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self.connection = connection
        self.outbox = outbox
        self.key_id: int | None = None
        self.scopes: frozenset[Scope] = ALL
        self.visitor: Visitor | None = None
        self.wrong_keys = 0
        self.wants_orders = False
        self.follower: Follower | None = None
        self.gone = False

    def push(self, channel: Channel[Holder], frame: bytes) -> None:
        self.outbox.push(channel, frame)

    def refused(self, channel: Channel[Holder], reason: str) -> None:
        name = channel.name
        item = protocol.Item(name.exchange, name.symbol, name.mode)
        broker = channel.broker
        reply = protocol.subscribed([protocol.item_failed(item, reason, broker)], broker)
        self.outbox.push_order(protocol.as_frame(reply))

    async def reply(self, fields: Mapping[str, Any], reply: protocol.Reply) -> None:
        """Answer a request; what came before the question stands before the answer."""
        if "request_id" in fields:
            reply["request_id"] = fields["request_id"]
        self.outbox.flush()
        await self.connection.send(protocol.encode(reply).decode())


Page = Callable[[], tuple[int, Mapping[str, Any] | str]]
"""One plain HTTP page: its status, and JSON or text."""


def _around() -> Around:
    """A market that never closes and a feed that is always up: for a server without either."""
    return Around(time.monotonic(), time.time_ns(), "", bool)


@dataclass(slots=True)
class Facts:
    """What replies need to know about the instance.

    ``adapter_status`` and ``around`` (what a subscription's state depends on) are asked anew each time.
    """

    broker: str
    user: str
    adapter_status: Callable[[], str]
    around: Callable[[], Around] = _around
    pages: Mapping[str, Page] = field(default_factory=dict)
