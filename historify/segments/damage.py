"""Is a file still what was published? Standard library only: readers ask too."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from historify.control import Control
from historify.errors import StoreDamaged
from historify.model import Series
from historify.segments import manifest
from historify.segments.manifest import Segment
from historify.segments.periods import told


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is missing or not what was written; its bars are to be pulled again."""

    segment: Segment
    reason: str

    def error(self) -> StoreDamaged:
        one = self.segment
        return StoreDamaged(
            f"{one.series}: bars from {told(one.lo, one.hi)} are damaged ({one.path}: {self.reason}). "
            "Other series are unaffected. `algo history verify --repair` takes it out, to be pulled again."
        )


def quick(root: Path, segment: Segment) -> Damage | None:
    """Missing, or of another size: what a look at the folder tells."""
    try:
        size = segment.file(root).stat().st_size
    except FileNotFoundError:
        return Damage(segment, "the file is missing")
    except OSError as exc:
        return Damage(segment, str(exc.strerror))
    return None if size == segment.bytes else Damage(segment, f"{size} bytes instead of {segment.bytes}")


def whole(root: Path, segment: Segment) -> bytes:
    """The file's content, every byte of it checked.

    Raises:
        StoreDamaged: Missing, cut or changed.
    """
    found = quick(root, segment)
    if found is None:
        try:
            content = segment.file(root).read_bytes()
        except OSError as exc:
            raise Damage(segment, str(exc.strerror)).error() from exc
        if zlib.crc32(content) == segment.crc:
            return content
        found = Damage(segment, "its content changed")
    raise found.error()


def verify(control: Control, root: Path, series: Series | None = None) -> Iterator[Damage]:
    """Every damaged file of one series or of the store; reads all of it, about a gigabyte a second."""
    with control.read() as connection:
        listed = list(
            manifest.all_segments(connection) if series is None else manifest.segments(connection, series)
        )
    for one in listed:
        try:
            whole(root, one)
        except StoreDamaged:
            with control.read() as connection:
                if one in manifest.segments(connection, one.series):  # not merely replaced while we read
                    yield quick(root, one) or Damage(one, "its content changed")
