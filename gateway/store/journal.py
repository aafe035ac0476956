"""The order journal: intents and their append-only events."""

from __future__ import annotations

from brokers.clock import Clock
from gateway.store.engine import Database


class Journal:
    """Orders and order events of one instance."""

    def __init__(self, database: Database, clock: Clock) -> None: ...
