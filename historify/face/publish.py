"""Publishing the face: a new file beside the old one, renamed over it while nobody can be writing to the old.

Replacing a file somebody has open to write would let their write-ahead log replay into ours, so such a face
waits. Readers of the old one keep it until they close. Instances never read the face: its age harms nobody.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from brokers.clock import Clock
from historify.control import Control, translated
from historify.errors import ForeignStore, StoreFull
from historify.face import contents
from historify.face.detect import MARK, Found, Kind, inspect, unlocked
from historify.paths import StorePaths
from historify.reader.engine import CONFIG
from historify.reader.query import quoted
from historify.segments import manifest

STORAGE_VERSION = "v1.2.0"
"""The newest file format the oldest DuckDB we support (1.3) reads; a newer default would lock people out."""
BLOCK_BYTES = 16_384
"""DuckDB's smallest: the face is small and written often."""
NOTE = (
    "algo rewrites this file whenever bars change: keep your own tables in a file of your own and "
    "ATTACH this one READ_ONLY. The bars are in the folder historify.d beside it."
)


class State(StrEnum):
    """Published anew, already the newest, or kept back because a program has the file open to write."""

    PUBLISHED = "published"
    CURRENT = "current"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Published:
    """What ``Face.publish`` did; ``detail`` says why a face waits."""

    state: State
    detail: str = ""


class Face:
    """The published DuckDB file of one store. One object, in the process that holds ``puller.lock``."""

    def __init__(self, paths: StorePaths, control: Control, clock: Clock) -> None:
        self._paths = paths
        self._control = control
        self._clock = clock
        self._stamp = ""
        self._publish = -1

    def due(self) -> bool:
        """Whether the bars changed since, or the file is not the one we wrote. Cheap: ask every second."""
        if not self._stamp or self._stamp != manifest.stamp_of(self._paths.face):
            return True
        with self._control.read() as connection:
            return manifest.publish_number(connection) != self._publish

    def publish(self, *, force: bool = False) -> Published:
        """Write the face if it is due (or ``force``: jobs and watchlists changed too).

        Raises:
            ForeignStore: The file at the path is somebody else's, or OpenAlgo's and not migrated; untouched.
            StoreDamaged: A segment cannot be read; the old face stays.
            StoreFull: No room or no right to write beside it.
        """
        if not force and not self.due():
            return Published(State.CURRENT)
        face = self._paths.face
        found = inspect(face)
        if found.kind is Kind.HELD:
            return Published(
                State.HELD, f"{face}: {found.detail}; it is republished when that program leaves"
            )
        self._refuse_foreign(found)
        shot = contents.snapshot(self._control)
        fresh = face.with_name(f".{face.name}.{os.getpid()}.new")
        with translated(face):
            _clear(fresh)
            try:
                self._build(fresh, shot)
                with unlocked(face) as free:
                    if not free:
                        return Published(State.HELD, f"{face}: opened to write just now")
                    if found.kind is Kind.UNREADABLE:
                        os.replace(face, face.with_name(f"{face.name}.unreadable-{self._now_s():.0f}"))
                    with contextlib.suppress(FileNotFoundError):
                        _wal(face).unlink()  # of a program that died: it belongs to the file that goes
                    os.replace(fresh, face)
            except PermissionError as exc:
                if os.name == "nt":  # somebody has it open
                    return Published(State.HELD, f"{face}: {exc.strerror}")
                raise
            finally:
                _clear(fresh)
        self._stamp, self._publish = manifest.stamp_of(face), shot.publish
        with self._control.transaction(durable=False) as tx:
            manifest.face_published(tx, shot.publish, self._now_s(), self._stamp)
        return Published(State.PUBLISHED)

    def _now_s(self) -> float:
        return self._clock.time_ns() / 1e9

    def _refuse_foreign(self, found: Found) -> None:
        face = self._paths.face
        if found.kind is Kind.OPENALGO:
            raise ForeignStore(
                f"{face} is an OpenAlgo store that has not been taken over yet; nothing was changed"
            )
        with self._control.read() as connection:
            ever = connection.execute("SELECT 1 FROM face").fetchone()
        if found.kind is Kind.FOREIGN or (found.kind is Kind.UNREADABLE and not ever):
            raise ForeignStore(
                f"{face} is not a market-data store ({found.detail}); nothing was changed: move it away, or "
                "set HISTORIFY_DATABASE_URL to another path"
            )

    def _build(self, fresh: Path, shot: contents.Snapshot) -> None:
        with duckdb.connect(":memory:", config=CONFIG) as connection:
            try:
                connection.execute(
                    f"ATTACH {quoted(str(fresh))} AS face "
                    f"(STORAGE_VERSION '{STORAGE_VERSION}', BLOCK_SIZE {BLOCK_BYTES})"
                )
                connection.execute("USE face")
                contents.create_views(connection, shot, self._paths.root.absolute())
                contents.create_tables(connection, shot)
                connection.execute(
                    f"CREATE TABLE {MARK}(format INTEGER, root VARCHAR, publish BIGINT, note VARCHAR)"
                )
                connection.execute(
                    f"INSERT INTO {MARK} VALUES(?, ?, ?, ?)",
                    [contents.FORMAT, str(self._paths.root.absolute()), shot.publish, NOTE],
                )
                connection.execute("USE memory")
                connection.execute("DETACH face")
            except duckdb.Error as exc:
                raise contents.damaged(self._control, self._paths.root) or StoreFull(
                    f"{self._paths.face}: the new face could not be written ({exc})"
                ) from exc


def _wal(face: Path) -> Path:
    return face.with_name(f"{face.name}.wal")


def _clear(fresh: Path) -> None:
    for path in (fresh, _wal(fresh)):
        path.unlink(missing_ok=True)
