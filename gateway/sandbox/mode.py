"""Live or analyze: which desk an order goes to. One switch for the whole instance, kept on disk."""

from __future__ import annotations

import threading
from enum import StrEnum

from gateway.store import kv
from gateway.store.engine import Database

NAME = "analyze_mode"


class TradingMode(StrEnum):
    """Where orders go: to the broker, or to the sandbox."""

    LIVE = "live"
    ANALYZE = "analyze"


class ModeSwitch:
    """The instance's mode. Thread-safe; reading costs nothing.

    Args:
        analyze: What holds as long as nobody ever switched (``PAPER_TRADING``). From the first switch on,
            what is stored counts, and the env's word no longer does.
    """

    def __init__(self, database: Database, *, analyze: bool) -> None:
        self._database = database
        self._lock = threading.Lock()
        with database.read() as connection:
            stored = kv.get(connection, NAME)
        first = TradingMode.ANALYZE if analyze else TradingMode.LIVE
        self._mode = TradingMode(stored) if stored else first

    def mode(self) -> TradingMode:
        return self._mode

    def set(self, mode: TradingMode) -> None:
        """Switch; requests that have begun end in the mode they began in.

        Raises:
            StoreError: It could not be kept; the mode is as it was.
        """
        with self._lock:
            self._database.write(lambda connection: kv.put(connection, NAME, mode.value))
            self._mode = mode
