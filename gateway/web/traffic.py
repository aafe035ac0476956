"""Traffic and logs of this instance, read from the lines its own processes write.

Nothing on a request's path counts for this page: every answered request is a line of the api's log already,
with its path, status and time. A file is read on from where the last look ended, so a page that follows costs
what was written since.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Response
from flask import request as asked
from marshmallow import Schema, fields, validate

from brokers.redact import Redactor
from gateway.api import reply
from gateway.log import secrets_of
from gateway.store.users import User
from gateway.web.shell import Web, show, signed_in

PROCESSES = ("api", "feed")
"""The two of an instance; nobody else's log can be asked for."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
BEGIN_BYTES = 4_000_000
"""Of the end of a log when it is first looked at."""
MOST_BYTES = 2_000_000
"""In one look at lines."""
MOST_LINES = 500
LONGEST_LINE = 4000
KEPT_REQUESTS = 50_000
WINDOWS = {"1": 60.0, "5": 300.0, "15": 900.0, "60": 3600.0}
NUMBER = re.compile(r"/[0-9]+(?=/|$)")
MESSAGE = "request"


@dataclass(slots=True)
class Tail:
    """Whole lines of a growing file, each once, also when another file takes its name."""

    path: Path
    begin_bytes: int = BEGIN_BYTES
    inode: int = 0
    at: int = 0

    def read(self, most: int = BEGIN_BYTES) -> list[bytes]:
        """What was written since the last look; the first one begins near the end."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                fresh = status.st_ino != self.inode or status.st_size < self.at
                if fresh:
                    # another generation: the first look begins near its end, a later one at its beginning
                    self.at = max(0, status.st_size - self.begin_bytes) if not self.inode else 0
                    self.inode = status.st_ino
                cut = fresh and self.at > 0
                file.seek(self.at)
                data = file.read(most)
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self.at += whole
        lines = data[:whole].splitlines()
        return lines[1:] if cut else lines


@dataclass(slots=True)
class Requests:
    """The answered requests of the last hour. Thread-safe."""

    tail: Tail
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: deque[tuple[float, str, int, float]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    def look(self, now: float, window_s: float) -> dict[str, Any]:
        """By endpoint: how many, how many a second, how many went wrong, how long they took."""
        with self._lock:
            while lines := self.tail.read():
                self._found.extend(one for line in lines if (one := request_of(line)) is not None)
            kept = [one for one in self._found if one[0] > now - window_s]
            since = self._found[0][0] if len(self._found) == KEPT_REQUESTS else 0.0
        covered = window_s if since <= now - window_s else max(1.0, now - since)
        return {"window_s": covered, "endpoints": by_endpoint(kept, covered)}


def request_of(line: bytes) -> tuple[float, str, int, float] | None:
    """Epoch seconds, method and path, status, milliseconds; None for other lines."""
    if b'"message": "request"' not in line and b'"message":"request"' not in line:
        return None
    try:
        row = msgspec.json.decode(line)
        path = NUMBER.sub("/…", row["path"])
        at = datetime.fromisoformat(row["time"]).timestamp()
        return at, f"{row['method']} {path}", int(row["status"]), float(row["ms"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None


def by_endpoint(found: Iterable[tuple[float, str, int, float]], window_s: float) -> list[dict[str, Any]]:
    """Pure; the busiest first."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for _, name, status, ms in found:
        groups.setdefault(name, []).append((status, ms))
    rows = []
    for name, answers in groups.items():
        times = sorted(ms for _, ms in answers)
        rows.append(
            {
                "endpoint": name,
                "count": len(answers),
                "per_s": round(len(answers) / window_s, 3),
                "refused": sum(400 <= status < 500 for status, _ in answers),
                "failed": sum(status >= 500 for status, _ in answers),
                "p50_ms": times[(len(times) - 1) // 2],
                "p95_ms": times[int((len(times) - 1) * 0.95)],
                "max_ms": times[-1],
            }
        )
    return sorted(rows, key=lambda row: -int(row["count"]))


class LinesOf(Schema):
    """``after``: the cursor of the last answer; without it the newest lines."""

    process = fields.String(load_default="api", validate=validate.OneOf(PROCESSES))
    level = fields.String(load_default="DEBUG", validate=validate.OneOf(LEVELS))
    q = fields.String(load_default="", validate=validate.Length(max=200))
    after = fields.String(load_default="", validate=validate.Regexp(r"([0-9]{1,20}-[0-9]{1,20})?\Z"))


def lines_of(
    path: Path, wanted: dict[str, Any], redactor: Redactor, most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """Log lines that match, oldest first, and the cursor to ask on from.

    They were redacted when they were written; what is shown passes the redactor once more, so that a line
    that did not come from the logger (a crash of the interpreter, say) is no exception.
    """
    inode, _, at = wanted["after"].partition("-")
    tail = Tail(path, most_bytes, int(inode or 0), int(at or 0))
    words = wanted["q"].lower().split()
    least = LEVELS.index(wanted["level"])
    found: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
    matching = 0
    for line in tail.read(most_bytes):
        text = line.decode("utf-8", "replace")
        if not all(word in text.lower() for word in words):
            continue
        row = _line(redactor.clean(text[:LONGEST_LINE]))
        level = row.get("level", "ERROR")
        if level in LEVELS and LEVELS.index(level) < least:
            continue
        matching += 1
        found.append(row)
    return {"lines": list(found), "left_out": matching - len(found), "after": f"{tail.inode}-{tail.at}"}


def _line(text: str) -> dict[str, Any]:
    """A line as its parts; one that is no JSON object is a message."""
    try:
        row = msgspec.json.decode(text)
    except msgspec.DecodeError:
        row = None
    if not isinstance(row, dict):
        return {"time": "", "level": "ERROR", "logger": "", "message": text, "more": {}}
    fixed = {name: str(row.pop(name, "")) for name in ("time", "level", "logger", "message")}
    for name in ("process", "instance", "venue"):
        row.pop(name, None)
    return {**fixed, "more": row}


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/traffic")
    def traffic() -> Response:
        def view(user: User) -> Response:
            first = {"state": web.live.state(), "processes": PROCESSES, "levels": LEVELS}
            return show(web, "traffic.html", user=user, module="pages/traffic.js", first=first)

        return signed_in(web, view)


def add_calls(api: Blueprint, web: Web) -> None:
    settings = web.parts.settings
    redactor = Redactor(secrets_of(settings))

    def log_of(process: str) -> Path:
        return settings.log_dir / f"{settings.name}.{process}.log"

    requests = Requests(Tail(log_of("api")))

    @api.get("/traffic")
    def traffic() -> Response:
        window_s = WINDOWS.get(asked.args.get("minutes", ""), 300.0)
        return reply.json(requests.look(web.parts.clock.time_ns() / 1e9, window_s))

    @api.get("/log")
    def log() -> Response:
        wanted = LinesOf().load(asked.args.to_dict())
        return reply.json(lines_of(log_of(wanted["process"]), wanted, redactor))
