"""Dhan's rooms behind one door; loaded by ``brokers.registry.open_broker``."""

from __future__ import annotations

from brokers.contract import (
    AsyncSessionSource,
    Auth,
    BrokerContext,
    BrokerSpec,
    Feed,
    FeedSink,
    GttRest,
    InstrumentSource,
    Rest,
    SessionSource,
)
from brokers.dhan import SPEC
from brokers.dhan.auth import DhanAuth
from brokers.dhan.feed import DhanFeed
from brokers.dhan.forever import DhanForever
from brokers.dhan.instruments import DhanInstruments
from brokers.dhan.rest import DhanRest
from brokers.transport import Transport


class DhanBroker:
    """Implements ``contract.Broker``. Each call makes its own connection pool."""

    spec: BrokerSpec = SPEC

    def auth(self, context: BrokerContext) -> Auth:
        return DhanAuth(context, Transport())

    def rest(self, context: BrokerContext, session: SessionSource) -> Rest:
        return DhanRest(context, session, Transport())

    def gtt(self, context: BrokerContext, session: SessionSource) -> GttRest:
        return DhanForever(context, session, Transport())

    def instruments(self, context: BrokerContext, session: SessionSource) -> InstrumentSource:
        return DhanInstruments(context, Transport())

    def feed(self, context: BrokerContext, session: AsyncSessionSource, sink: FeedSink) -> Feed:
        return DhanFeed(context, session, sink)


BROKER = DhanBroker()
