"""A process keeps its own log file short, without a line lost.

The supervisor opened the file and handed it over as standard error and output; it may be gone since. So the
process itself renames the file and leads its descriptors into a new one of the old name. No moment exists at
which a line could fall between: what is written before ends in the renamed file, what comes after in the new
one, through the same descriptors (``dup2``), native crash output and tracebacks included. A process killed in
between leaves a renamed file and none of the old name; whoever starts it next makes that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TextIO

from brokers.clock import IST

MB = 1_000_000
STANDARD = (1, 2)
STAMP = "%Y%m%dT%H%M%S.%fZ"
RETRY_S = 60.0
PATIENCE = 4
"""A file that waits for a quiet time is put aside all the same at so many times its size."""


@dataclass(frozen=True, slots=True)
class LogRules:
    """When a file is put aside, and for how long it is kept.

    Attributes:
        max_bytes: It is put aside at this size, and at the first line of a new day (IST), when it is quiet.
        keep_days: Older files are deleted.
        keep_bytes: So are the oldest, when one process's files together are larger.
    """

    max_bytes: int = 50 * MB
    keep_days: int = 14
    keep_bytes: int = 1000 * MB


def generations(path: Path) -> list[Path]:
    """The files put aside under this name, oldest first."""
    head = f"{path.name}."
    try:
        names = [name for name in os.listdir(path.parent) if name.startswith(head) and name.endswith("Z")]
    except FileNotFoundError:
        return []
    return [path.with_name(name) for name in sorted(names)]


class OwnLog:
    """The file this process's standard error leads to; ``look`` after writing.

    Not thread-safe: the log handler's lock guards it. Does nothing when standard error leads elsewhere (a
    terminal, a journal).

    Args:
        quiet: Whether a moment is good for putting a file aside: outside market hours, for who trades.
    """

    def __init__(
        self,
        path: Path,
        rules: LogRules = LogRules(),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        descriptors: tuple[int, ...] = STANDARD,
        quiet: Callable[[datetime], bool] = lambda now: True,  # noqa: ARG005 - any time will do
    ) -> None:
        self.path = path
        self.quiet = quiet
        self._ask_quiet_at = datetime.min.replace(tzinfo=UTC)
        self._rules = rules
        self._now = now
        self._descriptors = tuple(fd for fd in descriptors if _is(fd, path))
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._day = self._began()

    def look(self) -> None:
        """Put the file aside when it is due, and follow when somebody else did. Never raises."""
        if not self._descriptors:
            return
        try:
            held = os.fstat(self._descriptors[0])
            there = _inode(self.path)
            now = self._now()
            if there != held.st_ino:
                self._lead()
            elif now >= self._not_before and held.st_size and self._due(held.st_size, now):
                self._turn(now)
        except OSError:
            # no descriptor or no room left: go on in the old file, which works, and try again later
            self._not_before = self._now() + timedelta(seconds=RETRY_S)

    def _began(self) -> date:
        """Day of the newest line that is there already."""
        with contextlib.suppress(OSError):
            stat = self.path.stat()
            if stat.st_size:
                return datetime.fromtimestamp(stat.st_mtime, IST).date()
        return self._now().astimezone(IST).date()

    def _due(self, size: int, now: datetime) -> bool:
        if size >= PATIENCE * self._rules.max_bytes:
            return True
        if size < self._rules.max_bytes and now.astimezone(IST).date() <= self._day:
            return False
        if now < self._ask_quiet_at:
            return False
        if self.quiet(now):
            return True
        self._ask_quiet_at = now + timedelta(seconds=RETRY_S)
        return False

    def _turn(self, now: datetime) -> None:
        aside = self.path.with_name(f"{self.path.name}.{now.astimezone(UTC).strftime(STAMP)}")
        while aside.exists():
            now += timedelta(microseconds=1)
            aside = self.path.with_name(f"{self.path.name}.{now.astimezone(UTC).strftime(STAMP)}")
        with contextlib.suppress(FileNotFoundError):  # another process of this log was quicker
            os.rename(self.path, aside)
        self._lead()
        self._day = now.astimezone(IST).date()
        self._prune(now)

    def _lead(self) -> None:
        """Into the file that has the name now; made when there is none."""
        fresh = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            for fd in self._descriptors:
                os.dup2(fresh, fd)
        finally:
            os.close(fresh)

    def _prune(self, now: datetime) -> None:
        total = 0
        for path in reversed(generations(self.path)):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                total += stat.st_size
                age = now - datetime.fromtimestamp(stat.st_mtime, UTC)
                if age > timedelta(days=self._rules.keep_days) or total > self._rules.keep_bytes:
                    path.unlink()


class OwnLogHandler(logging.StreamHandler[TextIO]):
    """One line at a time to standard error, whose file is kept short."""

    def __init__(self, own: OwnLog | None, stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stderr)
        self._own = own

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, then look at the file's size and day."""
        super().emit(record)
        if self._own is not None:
            self._own.look()


def _is(fd: int, path: Path) -> bool:
    """Whether a descriptor leads to this very file."""
    try:
        held, there = os.fstat(fd), path.stat()
    except OSError:
        return False
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
