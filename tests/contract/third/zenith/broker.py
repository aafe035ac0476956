"""Zenith's rooms behind one door; loaded by ``brokers.registry.open_broker``."""

from __future__ import annotations

from brokers.zenith import SPEC
from brokers.zenith.auth import ZenithAuth
from brokers.zenith.feed import ZenithFeed
from brokers.zenith.instruments import ZenithInstruments
from brokers.zenith.rest import ZenithRest

from brokers.contract import Broker
from brokers.rooms import Rooms

BROKER: Broker = Rooms(SPEC, ZenithAuth, ZenithRest, ZenithInstruments, ZenithFeed)
