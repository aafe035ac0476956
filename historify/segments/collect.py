"""Deleting files nobody can be reading any more. Standard library only.

A file out of use may still be open in a reader, or listed by the face people opened. It goes 60 s after it
was replaced, once the face was published twice since (without a face: after two more changes of the store). A
file that no manifest ever listed (its writer was killed) goes when the next writer starts, told by the
epoch in its name: only names of older epochs, so that a collector which slept through a takeover takes
nothing from its successor.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from historify.control import Control
from historify.paths import StorePaths
from historify.segments.periods import FILE_NAME

GRACE_S = 60.0
GRACE_PUBLISHES = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """How many files went: replaced ones, and ones no manifest listed."""

    trash: int
    orphans: int


def collect(control: Control, paths: StorePaths, epoch: int, now_s: float, *, orphans: bool) -> Collected:
    """Delete what is due.

    Args:
        epoch: The caller's; the caller holds ``puller.lock``.
        now_s: Epoch seconds.
        orphans: Also walk the whole folder for files that no manifest lists; once at start.
    """
    trash = _trash(control, paths, now_s)
    return Collected(trash, _orphans(control, paths, epoch) if orphans else 0)


def _trash(control: Control, paths: StorePaths, now_s: float) -> int:
    with control.read() as connection:
        publish = connection.execute("SELECT value FROM counter WHERE name='publish'").fetchone()[0]
        face = connection.execute("SELECT number, publish FROM face").fetchone()
        old = connection.execute(
            "SELECT path, publish, face FROM trash WHERE superseded_at <= ?", (now_s - GRACE_S,)
        ).fetchall()
    if face is None:
        due = [path for path, at, _ in old if publish >= at + GRACE_PUBLISHES]
    else:
        due = [path for path, at, number in old if face[1] >= at and face[0] >= number + GRACE_PUBLISHES]
    gone = [path for path in due if _unlink(paths.root / path)]
    if gone:
        with control.transaction(durable=False) as tx:
            tx.executemany("DELETE FROM trash WHERE path=?", [(path,) for path in gone])
        for folder in {(paths.root / path).parent for path in gone}:
            with contextlib.suppress(OSError):  # holds files still
                folder.rmdir()
    return len(gone)


def _orphans(control: Control, paths: StorePaths, epoch: int) -> int:
    found = [path for path in paths.bars.glob("*/*/*/*") if _older(path.name, epoch)]
    with control.read() as connection:  # after the look: a file listed meanwhile is none
        known = {
            row[0] for row in connection.execute("SELECT path FROM segment UNION SELECT path FROM trash")
        }
    orphans = [path for path in found if path.relative_to(paths.root).as_posix() not in known]
    for path in orphans:
        log.info("removing %s: its batch was never published", path.relative_to(paths.root))
    return sum(_unlink(path) for path in orphans)


def _older(name: str, epoch: int) -> bool:
    match = FILE_NAME.match(name)
    return match is not None and int(match["epoch"]) < epoch


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:  # open on Windows, no right: another time
        log.warning("cannot remove %s yet: %s", path, exc.strerror)
        return False
    return True
