"""Reads the children's log files: JSON lines, with anything else kept as it stands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from brokers.logrotate import generations
from brokers.redact import Redactor

BLOCK = 64 * 1024
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Line:
    """One log line. ``time`` is the ISO text it carries, empty for a line that is not JSON.

    Attributes:
        at: Where it belongs in time: its own, else that of the line it follows.
    """

    source: str
    time: str
    level: str
    message: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown.

    Attributes:
        since: Aware; None for any time.
        level: This one or worse. What is not JSON (a traceback, a crash) passes.
        pattern: Searched in what is shown of a line.
    """

    since: datetime | None = None
    level: str = "DEBUG"
    pattern: re.Pattern[str] | None = None

    def has(self, line: Line) -> bool:
        if line.level in LEVELS and LEVELS.index(line.level) < LEVELS.index(self.level):
            return False
        if self.since is not None and line.at < iso(self.since):
            return False
        return self.pattern is None or self.pattern.search(line.message) is not None


EVERYTHING = Wanted()


def iso(at: datetime) -> str:
    """As log lines carry it, so that texts compare as times do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def backwards(path: Path) -> Iterator[str]:
    """Lines of a file, the last one first, read in blocks; none when there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        left = file.seek(0, 2)
        tail = b""
        first = True
        while left > 0:
            step = min(BLOCK, left)
            left -= step
            file.seek(left)
            head, *whole = (file.read(step) + tail).split(b"\n")
            tail = head
            if first and whole and not whole[-1]:
                whole.pop()  # the file ends with a whole line
            first = False
            for raw in reversed(whole):
                yield raw.decode(errors="replace")
        if tail:
            yield tail.decode(errors="replace")


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, read from its end and on into what was put aside; empty when there is none."""
    texts = (text for one in (path, *reversed(generations(path))) for text in backwards(one))
    return list(islice(texts, count))[::-1]


SHOWN = {"time", "level", "process", "instance", "venue", "logger", "message", "exception"}


# what a process says before its log is set up, or while it crashes, went past its own redactor
CLEANER = Redactor()


def parse(source: str, text: str) -> Line:
    """One line of a log file; fields beyond the usual ones follow the message as ``name=value``."""
    try:
        row = json.loads(text)
    except ValueError:
        return Line(source, "", "", plain(CLEANER.clean(text)))
    if not isinstance(row, dict):
        return Line(source, "", "", plain(CLEANER.clean(text)))
    extras = [f"{name}={value}" for name, value in row.items() if name not in SHOWN]
    message = plain(" ".join([str(row.get("message", "")), *extras]).replace("\n", "\\n"))
    if row.get("exception"):
        message += "\n" + plain(str(row["exception"]))
    return Line(source, plain(str(row.get("time", ""))), str(row.get("level", "")), message)


def plain(text: str) -> str:
    """Without control characters: a log holds what strangers sent, and a terminal obeys escape sequences."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def merged(files: dict[str, Path], count: int, wanted: Wanted = EVERYTHING) -> list[Line]:
    """The last ``count`` wanted lines over all files and what was put aside of them, by time.

    A line without a time stays behind its predecessor.
    """
    rows: list[Line] = []
    for source, path in files.items():
        newest = _newest_first(source, path, wanted)
        rows += list(islice(newest, count))[::-1]
    rows.sort(key=lambda line: line.at)
    return rows[-count:] if count else []


def _newest_first(source: str, path: Path, wanted: Wanted) -> Iterator[Line]:
    behind: list[Line] = []  # lines without a time, until the one they follow is known
    later = ""
    for one in (path, *reversed(generations(path))):
        if wanted.since is not None and _written(one) < iso(wanted.since):
            break
        for text in backwards(one):
            line = parse(source, text)
            if not line.time:
                behind.append(line)
                continue
            later = line.time
            for follower in (*behind, line):
                placed = replace(follower, at=line.time)
                if wanted.has(placed):
                    yield placed
            behind.clear()
            if wanted.since is not None and line.time < iso(wanted.since):
                return
    for line in behind:
        placed = replace(line, at=later or _written(path))
        if wanted.has(placed):
            yield placed


def _written(path: Path) -> str:
    try:
        return iso(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    except FileNotFoundError:
        return ""


class Follower:
    """New whole lines of a file as they are written; starts at its end.

    Files put aside between two reads are read to their end, in order, before the present one; the one just
    left is looked at once more, for a line that was on its way into it.
    """

    def __init__(self, source: str, path: Path) -> None:
        self._source = source
        self._path = path
        self._at = ""
        self._rest = b""
        self._left: BinaryIO | None = None
        self._file: BinaryIO | None = None
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            return
        self._file.seek(0, 2)

    def read(self) -> Iterator[Line]:
        if self._left is not None:
            yield from self._lines(self._left.read().split(b"\n"))
            self._left.close()
            self._left = None
        while True:
            if self._file is not None:
                *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
                yield from self._lines(whole)
            following = self._next()
            if following is None:
                return
            if self._file is not None:
                yield from self._lines([self._rest])
                if self._left is not None:
                    self._left.close()
                self._left = self._file
            self._rest, self._file = b"", following

    def _lines(self, raw: list[bytes]) -> Iterator[Line]:
        for text in raw:
            if text:
                line = parse(self._source, text.decode(errors="replace"))
                self._at = line.time or self._at
                yield replace(line, at=self._at)

    def _next(self) -> BinaryIO | None:
        """The file that follows the one being read; None while that has the name (or none has it)."""
        try:
            stat = self._path.stat()
            if self._file is None:
                return self._path.open("rb")
            held = _inode(self._file)
            if stat.st_ino == held:
                if stat.st_size < self._file.tell():  # emptied in place
                    self._file.seek(0)
                    self._rest = b""
                return None
            aside = generations(self._path)
            after = [i for i, path in enumerate(aside) if path.stat().st_ino == held]
            return [*aside, self._path][after[0] + 1 if after else -1].open("rb")
        except FileNotFoundError:
            return None


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino
