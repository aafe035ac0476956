"""Kotak's rooms joined: what ``brokers.registry.open_broker("kotak")`` returns."""

from __future__ import annotations

from brokers.contract import (
    AsyncSessionSource,
    Auth,
    Broker,
    BrokerContext,
    Feed,
    FeedSink,
    GttRest,
    InstrumentSource,
    Rest,
    SessionSource,
)
from brokers.errors import NotSupported
from brokers.kotak import SPEC
from brokers.kotak.auth import KotakAuth
from brokers.kotak.feed import KotakFeed
from brokers.kotak.instruments import KotakInstruments
from brokers.kotak.rest import KotakRest
from brokers.transport import Transport


class KotakBroker:
    """Stateless; every call makes a fresh object with its own connections."""

    spec = SPEC

    def auth(self, context: BrokerContext) -> Auth:
        return KotakAuth(context, Transport())

    def rest(self, context: BrokerContext, session: SessionSource) -> Rest:
        return KotakRest(context, session, Transport())

    def gtt(self, context: BrokerContext, session: SessionSource) -> GttRest:
        raise NotSupported("Kotak keeps no GTT orders; the gateway keeps and triggers them")

    def instruments(self, context: BrokerContext, session: SessionSource) -> InstrumentSource:
        return KotakInstruments(context, session, Transport(read_timeout_s=60.0))

    def feed(self, context: BrokerContext, session: AsyncSessionSource, sink: FeedSink) -> Feed:
        return KotakFeed(context, session, sink)


BROKER: Broker = KotakBroker()
