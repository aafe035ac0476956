"""What can go wrong in the market-data store. None of these ever surfaces as "no data"."""

from __future__ import annotations

from brokers.errors import AlgoError


class StoreError(AlgoError):
    """Root of the store's own errors; the message says which file or series, and what to do next."""

    code = "STORE_ERROR"


class StoreDamaged(StoreError):
    """A segment is missing, torn or not what the manifest says; other series are unaffected."""

    code = "STORE_DAMAGED"


class StoreBusy(StoreError):
    """Another process holds ``control.db`` for longer than its patience; nothing was changed, try again."""

    code = "STORE_BUSY"


class StoreFull(StoreError):
    """No room or no right to write; nothing was acknowledged and nothing is lost."""

    code = "STORE_FULL"


class LeaseLost(StoreError):
    """The epoch of this writer is not the current one; its batch was not published."""

    code = "LEASE_LOST"


class PullerBusy(StoreError):
    """Another process holds the puller's lock."""

    code = "PULLER_BUSY"


class WrongInterval(StoreError):
    """The interval is none the store keeps or computes; the message lists those it does."""

    code = "WRONG_INTERVAL"


class ForeignStore(StoreError):
    """The file at the store's path is not ours and not a market-data store that can be migrated."""

    code = "STORE_FOREIGN"


class UnsafeFolder(StoreError):
    """The store lies on a network drive or in a synced folder, where locks and WAL do not hold."""

    code = "STORE_UNSAFE_FOLDER"


class BadBars(StoreError):
    """A batch breaks what every stored bar keeps; the message names series and time. Nothing was stored."""

    code = "BAD_BARS"


class QueryLimit(StoreError):
    """A question needs more time or memory than a reader may use; ask for less, or pack the store."""

    code = "STORE_LIMIT"
