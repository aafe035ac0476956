"""Reads the children's log files: JSON lines, with anything else kept as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 64 * 1024
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Line:
    """One log line. ``time`` is the ISO text it carries, empty for a line that is not JSON."""

    source: str
    time: str
    level: str
    message: str


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, read from its end; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            left = file.tell()
            tail = b""
            while left > 0 and tail.count(b"\n") <= count:
                step = min(BLOCK, left)
                left -= step
                file.seek(left)
                tail = file.read(step) + tail
    except FileNotFoundError:
        return []
    return tail.decode(errors="replace").splitlines()[-count:]


SHOWN = {"time", "level", "process", "instance", "venue", "logger", "message", "exception"}


def parse(source: str, text: str) -> Line:
    """One line of a log file; fields beyond the usual ones follow the message as ``name=value``."""
    try:
        row = json.loads(text)
    except ValueError:
        return Line(source, "", "", plain(text))
    if not isinstance(row, dict):
        return Line(source, "", "", plain(text))
    extras = [f"{name}={value}" for name, value in row.items() if name not in SHOWN]
    message = plain(" ".join([str(row.get("message", "")), *extras]).replace("\n", "\\n"))
    if row.get("exception"):
        message += "\n" + plain(str(row["exception"]))
    return Line(source, plain(str(row.get("time", ""))), str(row.get("level", "")), message)


def plain(text: str) -> str:
    """Without control characters: a log holds what strangers sent, and a terminal obeys escape sequences."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def merged(files: dict[str, Path], count: int) -> list[Line]:
    """The last ``count`` lines over all files, by time; one without a time stays behind its predecessor."""
    rows: list[tuple[str, int, Line]] = []
    number = 0
    for source, path in files.items():
        at = ""
        for text in last_lines(path, count):
            line = parse(source, text)
            at = line.time or at
            rows.append((at, number, line))
            number += 1
    rows.sort(key=lambda row: row[:2])
    return [line for _, _, line in rows[-count:]]


class Follower:
    """New whole lines of a file as they are written; starts at its end, survives truncation and rotation."""

    def __init__(self, source: str, path: Path) -> None:
        self._source = source
        self._path = path
        self._inode = 0
        self._offset = 0
        self._rest = b""
        if path.exists():
            stat = path.stat()
            self._inode, self._offset = stat.st_ino, stat.st_size

    def read(self) -> Iterator[Line]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        if stat.st_ino != self._inode or stat.st_size < self._offset:
            self._inode, self._offset, self._rest = stat.st_ino, 0, b""
        if stat.st_size == self._offset:
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        *whole, self._rest = data.split(b"\n")
        for text in whole:
            yield parse(self._source, text.decode(errors="replace"))
