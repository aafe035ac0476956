"""SQLite files: who may open them, one writer, durable commits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, MetaData

from brokers.model import Venue
from gateway.store.tables import METADATA

T = TypeVar("T")


class Database:
    """One SQLite file of one instance. Reads from any thread; writes go through one writer thread."""

    path: Path
    venue: Venue
    read_only: bool

    def read(self) -> AbstractContextManager[Connection]:
        """A read-only connection with one consistent snapshot, for the length of the block."""
        raise NotImplementedError

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on the writer thread inside a transaction; returns after the durable commit."""
        raise NotImplementedError

    def close(self) -> None: ...


def open(path: Path, venue: Venue, *, metadata: MetaData = METADATA, read_only: bool = False) -> Database:
    """Open (and make, unless ``read_only``) a database of this project.

    Raises:
        SettingsError: The file belongs to the other venue, or is not ours; it has not been written.
        StoreError: Another process writes it; or read_only and it does not exist yet.
    """
    raise NotImplementedError
