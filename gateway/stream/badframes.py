"""Frames nobody could read, kept for the person who has to find out why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

MOST_BYTES = 4 * 1024 * 1024
MOST_A_MINUTE = 60
FRAME_BYTES = 64 * 1024


class BadFrames:
    """Counts every one and keeps some: at most 60 a minute, in a file that is turned over at 4 MB.

    Args:
        path: JSON lines ``{"at", "reason", "size", "hex"}``.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._minute: datetime | None = None
        self._kept_in_minute = 0
        self.count = 0
        self.kept = 0

    def keep(self, frame: bytes, reason: str) -> None:
        """Never raises: a full disk must not stop the stream."""
        self.count += 1
        now = self._now()
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._kept_in_minute = minute, 0
        if self._kept_in_minute >= MOST_A_MINUTE:
            return
        self._kept_in_minute += 1
        log.warning("unreadable frame of %d bytes: %s", len(frame), reason)
        line = {
            "at": now.isoformat(),
            "reason": reason,
            "size": len(frame),
            "hex": frame[:FRAME_BYTES].hex(),
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
                self._path.replace(self._path.with_suffix(".old"))
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
            self.kept += 1
        except OSError as exc:
            log.warning("unreadable frame not kept: %s", exc)
