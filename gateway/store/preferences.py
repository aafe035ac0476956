"""A named set of JSON texts, in the table of small facts."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from brokers.errors import InvalidRequest
from gateway.store import kv
from gateway.store.engine import Database


class Preferences:
    """Texts by name under one prefix. Thread-safe."""

    def __init__(self, database: Database, prefix: str = "chart:") -> None:
        self._database = database
        self._prefix = prefix

    def beside(self, prefix: str) -> Preferences:
        """Another set in the same table."""
        return Preferences(self._database, prefix)

    def all(self) -> dict[str, str]:
        """Every text by its name, in the order of names."""
        with self._database.read() as connection:
            return kv.under(connection, self._prefix)

    def merge(self, texts: Mapping[str, str], most: int) -> None:
        """Add or replace; all or none.

        Args:
            most: How many names there may be afterwards.

        Raises:
            InvalidRequest: There would be more.
        """

        def work(connection: Connection) -> None:
            kept = kv.under(connection, self._prefix)
            if len(kept.keys() | texts.keys()) > most:
                raise InvalidRequest(f"More than {most} preferences would be kept; none was stored")
            for name, text in texts.items():
                kv.put(connection, f"{self._prefix}{name}", text)

        self._database.write(work)
