"""The route's own API keys: a small file (0600), HMAC-SHA-256 with a pepper of its own.

A key of an instance trades on that instance alone; one of these trades wherever the route does, by way of the
route alone. ``algo route
key`` writes the file, the route reads it again as soon as it has changed, so a revoked key ends at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers.errors import StoreError
from supervisor.lock import FolderLock

NAME = "route-keys.json"


class RouteKeys:
    """Thread-safe. Raises ``StoreError`` when the file cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int], dict[str, Any]] | None = None

    def add(self, label: str, key: str, instance: str, instance_key: int) -> int:
        """Take a key of the instance whose data the route uses.

        There it may do nothing but stream and read market data. So a strategy has one key for both.

        Args:
            instance, instance_key: Where it comes from, to be revoked there too.
        """
        with FolderLock(self._path.with_suffix(".lock"), wait=True):
            held = self._load() or {"pepper": secrets.token_hex(32), "keys": []}
            number = len(held["keys"]) + 1
            row = {"id": number, "label": label, "digest": _digest(held["pepper"], key)}
            row |= {"instance": instance, "instance_key": instance_key}
            held["keys"].append(row | {"created_at": _now(), "revoked_at": None})
            self._store(held)
        return number

    def list(self) -> list[dict[str, Any]]:
        """Every key, revoked ones too, without its digest."""
        held = self._load() or {"keys": []}
        return [{name: value for name, value in row.items() if name != "digest"} for row in held["keys"]]

    def revoke(self, number: int) -> dict[str, Any] | None:
        """The key's row; None when there is no such unrevoked key."""
        with FolderLock(self._path.with_suffix(".lock"), wait=True):
            held = self._load() or {"keys": []}
            for row in held["keys"]:
                if row["id"] == number and row["revoked_at"] is None:
                    row["revoked_at"] = _now()
                    self._store(held)
                    return dict(row)
        return None

    def verify(self, text: str) -> bool:
        held = self._load()
        if held is None:
            return False
        digest, good = _digest(held["pepper"], text), False
        for row in held["keys"]:
            good |= hmac.compare_digest(row["digest"], digest) and row["revoked_at"] is None
        return good

    def _load(self) -> dict[str, Any] | None:
        """The file's content; read again only when it was replaced. None: there is none."""
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino, found.st_size)
            with self._lock:
                if self._read is None or self._read[0] != mark:
                    self._read = (mark, json.loads(self._path.read_text(encoding="utf-8")))
                return self._read[1]
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            raise StoreError(f"{self._path}: {exc}") from exc

    def _store(self, held: dict[str, Any]) -> None:
        aside = self._path.with_suffix(".new")
        try:
            with suppress(FileNotFoundError):
                aside.unlink()
            file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                json.dump(held, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            aside.replace(self._path)
        except OSError as exc:
            raise StoreError(f"{self._path}: {exc}") from exc


def _digest(pepper: str, key: str) -> str:
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
