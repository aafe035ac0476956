"""The kill switch of a home and venue: one small file that every order path looks at without network.

``run/panic.json`` says whether entries are blocked on every instance, those that do not run included. It is
never removed: resuming writes ``active: false`` under a greater serial, so an instance that slept through
both knows which of them came last. Light on purpose: the command line writes it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "panic.json"
FOLDER = "panic"
"""Beside the file: what each instance has done about it, one ``<instance>.json`` each."""
POLICIES = ("cancel", "block", "close")
"""Cancel open orders; leave them; cancel them and close every position."""


@dataclass(frozen=True, slots=True)
class Panic:
    """One word of the operator; the greatest serial counts.

    Attributes:
        serial: Wall nanoseconds of its writing, always above the one before.
        by: The instance or command that wrote it.
    """

    serial: int
    active: bool
    reason: str
    policy: str
    by: str
    at: str

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Panic:
        """Raises ``ValueError`` for anything that is not one."""
        plain = json.loads(text)
        try:
            found = cls(**plain)
        except TypeError as exc:
            raise ValueError(str(exc)) from exc
        right = (
            isinstance(found.serial, int)
            and isinstance(found.active, bool)
            and all(isinstance(word, str) for word in (found.reason, found.by, found.at))
            and found.policy in POLICIES
        )
        if not right:
            raise ValueError("a field is not what it should be")
        return found


def paper_name(instance: str) -> str:
    """Under which the paper desk of an instance writes what it has done (no instance has a dot)."""
    return f"{instance}.paper"


def spoken(
    active: bool,
    *,
    reason: str = "",
    policy: str = "cancel",
    by: str = "",
    after: int = 0,
    now_ns: Callable[[], int] = time.time_ns,
) -> Panic:
    """A new word, with a serial above ``after``."""
    at_ns = now_ns()
    at = datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return Panic(max(at_ns, after + 1), active, reason or "panic", policy, by, at)


class PanicFile:
    """Reads and writes the file; a look costs one ``stat`` while it does not change. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[tuple[int, int, int], Panic] | None = None

    def read(self) -> Panic | None:
        """The last word; None when none was ever spoken. What cannot be read blocks: it may say so."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError as exc:
            return self._doubtful(exc, 1)
        mark = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        seen = self._seen
        if seen is not None and seen[0] == mark:
            return seen[1]
        try:
            found = Panic.from_text(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            found = self._doubtful(exc, stat.st_mtime_ns)
        self._seen = (mark, found)
        return found

    def write(self, panic: Panic) -> None:
        """On disk when it returns. Raises ``OSError``."""
        write_whole(self.path, panic.to_text(), durable=True)

    def _doubtful(self, exc: Exception, serial: int) -> Panic:
        why = f"{self.path.name} cannot be read ({type(exc).__name__}); resume to write it anew"
        return Panic(serial, True, why, "block", "", "")


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """All of it or nothing, readable by the owner only. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        # gone when it took the file's place
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    if durable and os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def reports(folder: Path, serial: int) -> dict[str, dict[str, Any]]:
    """What each instance has written about one panic, by instance; others have not looked yet."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(plain, dict) and plain.get("serial") == serial:
            found[path.stem] = plain
    return found
