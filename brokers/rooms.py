"""The door to a broker's rooms: one ``contract.Broker`` for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokers.contract import (
    AsyncSessionSource,
    Auth,
    BrokerContext,
    Feed,
    FeedSink,
    GttRest,
    InstrumentSource,
    Rest,
    SessionSource,
)
from brokers.errors import NotSupported
from brokers.spec import BrokerSpec
from brokers.transport import Transport

FILE_TIMEOUT_S = 60.0
"""Longest silence while an instrument file comes."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Implements ``contract.Broker``. Stateless: every call makes a fresh object with its own connections.

    Attributes:
        gtt_room: None where the broker keeps no GTT orders.
    """

    spec: BrokerSpec
    auth_room: Callable[[BrokerContext, Transport], Auth]
    rest_room: Callable[[BrokerContext, SessionSource, Transport], Rest]
    instruments_room: Callable[[BrokerContext, SessionSource, Transport], InstrumentSource]
    feed_room: Callable[[BrokerContext, AsyncSessionSource, FeedSink], Feed]
    gtt_room: Callable[[BrokerContext, SessionSource, Transport], GttRest] | None = None

    def auth(self, context: BrokerContext) -> Auth:
        """See ``contract.Broker``, as all of these."""
        return self.auth_room(context, Transport())

    def rest(self, context: BrokerContext, session: SessionSource) -> Rest:
        """The REST calls."""
        return self.rest_room(context, session, Transport())

    def gtt(self, context: BrokerContext, session: SessionSource) -> GttRest:
        """The broker's own GTT orders. Raises ``NotSupported`` where it keeps none."""
        if self.gtt_room is None:
            raise NotSupported(f"{self.spec.title} keeps no GTT orders; the gateway keeps and triggers them")
        return self.gtt_room(context, session, Transport())

    def instruments(self, context: BrokerContext, session: SessionSource) -> InstrumentSource:
        """The instrument master."""
        return self.instruments_room(context, session, Transport(read_timeout_s=FILE_TIMEOUT_S))

    def feed(self, context: BrokerContext, session: AsyncSessionSource, sink: FeedSink) -> Feed:
        """The feed; it runs on the caller's event loop."""
        return self.feed_room(context, session, sink)
