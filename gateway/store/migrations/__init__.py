"""What became of the tables from one version of the program to the next, and how a file is brought along.

One module a version, ``v<N>.py``, whose ``upgrade`` turns a file of version N-1 into one of version N. It
runs in one transaction with the new version number, so a process killed at any moment leaves a whole file of
one version or the other, and the next start goes on from there.

A table that is new needs no step: it is made when the file is opened. A change to one that exists does.
This package and alembic are imported only when a step is due.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from brokers.errors import StoreError

STEPS: Mapping[int, str] = {2: "gateway.store.migrations.v2", 3: "gateway.store.migrations.v3"}
"""Version -> the module that leads to it."""
BUSY_S = 5.0
PAGES = 2000

log = logging.getLogger(__name__)


def upgrade(path: Path, found: int, wanted: int, *, steps: Mapping[int, str] = STEPS) -> None:
    """Copy the file to ``<name>.before-<wanted>``, then bring it to version ``wanted``, a step at a time.

    The caller holds the file's lock. To be called again after a kill at any moment.

    Args:
        found: The version the file has now.

    Raises:
        StoreError: The disk is full, or a step failed; the file is whole and of the last version reached.
    """
    try:
        kept = _backup(path, found, wanted)
        log.info(
            "%s: version %d, this program wants %d; a copy is in %s", path.name, found, wanted, kept.name
        )
        for version in range(found + 1, wanted + 1):
            _step(path, version, steps[version])
            log.info("%s: now version %d", path.name, version)
    except (sqlite3.Error, SQLAlchemyError, OSError) as exc:
        raise StoreError(
            f"{path.name} could not be brought from version {found} to {wanted}: "
            f"{getattr(exc, 'orig', None) or exc}; nothing is lost, mend that and start again"
        ) from exc


def _backup(path: Path, found: int, wanted: int) -> Path:
    """A whole copy under its final name, or none.

    An older copy stays when it holds an earlier version than the file has: an upgrade of several steps was
    cut short, and what was there before it is what a person would want back.
    """
    kept = path.with_name(f"{path.name}.before-{wanted}")
    if kept.exists() and _version_of(kept) < found:
        return kept
    part = path.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with (
        contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as source,
        contextlib.closing(sqlite3.connect(part)) as goal,
    ):
        source.backup(goal, pages=PAGES)
        # readable without the side files of a WAL
        goal.execute("PRAGMA journal_mode=DELETE")
    _sync(part)
    os.replace(part, kept)
    _sync(path.parent)
    return kept


def _version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    return int(row[0])


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # Windows cannot; untested
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _step(path: Path, version: int, module: str) -> None:
    """One version further, in one transaction."""
    step = importlib.import_module(module)
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        step.upgrade(Operations(MigrationContext.configure(connection)))
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise StoreError(f"{path.name}: step {version} would leave {broken[0]} rows pointing at nothing")
        stamp = "UPDATE meta SET value = ? WHERE name = 'version'"
        connection.exec_driver_sql(stamp, (str(version),))
    engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode=rw"
    connection: Any = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    # a table rebuilt by a step is dropped and renamed; what points at it is checked before the commit
    connection.execute("PRAGMA foreign_keys=OFF")
    assert isinstance(connection, sqlite3.Connection)
    return connection
