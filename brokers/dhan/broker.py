"""Dhan's rooms behind one door; loaded by ``brokers.registry.open_broker``."""

from __future__ import annotations

from brokers.contract import Broker
from brokers.dhan import SPEC
from brokers.dhan.auth import DhanAuth
from brokers.dhan.feed import DhanFeed
from brokers.dhan.forever import DhanForever
from brokers.dhan.instruments import DhanInstruments
from brokers.dhan.rest import DhanRest
from brokers.rooms import Rooms

BROKER: Broker = Rooms(SPEC, DhanAuth, DhanRest, DhanInstruments, DhanFeed, DhanForever)
