"""Kotak's rooms behind one door; loaded by ``brokers.registry.open_broker``."""

from __future__ import annotations

from brokers.contract import Broker
from brokers.kotak import SPEC
from brokers.kotak.auth import KotakAuth
from brokers.kotak.feed import KotakFeed
from brokers.kotak.instruments import KotakInstruments
from brokers.kotak.rest import KotakRest
from brokers.rooms import Rooms

BROKER: Broker = Rooms(SPEC, KotakAuth, KotakRest, KotakInstruments, KotakFeed)
