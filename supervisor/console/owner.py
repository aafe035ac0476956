"""The one account of the fleet page and what its sign-ins need, in one small file of the owner's.

``db/console.json`` (``db/sim/console.json``), mode 0600: the key of the cookies, the account, and which web
sessions were signed out before their end. This process alone writes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from brokers.clock import Clock
from brokers.errors import InvalidRequest, SettingsError
from brokers.secret import Secret
from gateway.panicfile import write_whole

NAME = "console.json"
OWNER_ID = 1


@dataclass(frozen=True, slots=True)
class Owner:
    """The one person who may sign in to the fleet page."""

    id: int
    username: str


class OwnerFile:
    """Reads the file once, writes it whole. Thread-safe; also ``pagekit.access.SignedOut``.

    Raises:
        SettingsError: The file is there and is not one of ours; it is left alone.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._hasher = PasswordHasher()
        self._plain = _read(path)
        if not self._plain:
            self._plain = {"key": secrets.token_hex(32), "owner": None, "signed_out": {}}
            self._write()

    @property
    def key(self) -> Secret:
        """Signs the cookies."""
        return Secret(self._plain["key"])

    def exists(self) -> bool:
        return self._plain["owner"] is not None

    def get(self, user_id: int) -> Owner | None:
        owner = self._plain["owner"]
        return Owner(OWNER_ID, owner["username"]) if owner and user_id == OWNER_ID else None

    def create(self, username: str, password: str) -> Owner:
        """Raises ``InvalidRequest`` when there is an owner already."""
        hashed = self._hasher.hash(password)
        with self._lock:
            if self.exists():
                raise InvalidRequest("there is an owner already", code="USERNAME_TAKEN")
            at = self._clock.now().isoformat()
            self._plain["owner"] = {"username": username, "password_hash": hashed, "created_at": at}
            self._write()
        return Owner(OWNER_ID, username)

    def verify(self, username: str, password: str) -> Owner | None:
        """None on a wrong name or password; both take the same time."""
        owner = self._plain["owner"]
        known = owner is not None and owner["username"] == username
        try:
            self._hasher.verify(owner["password_hash"] if known else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return None
        return self.get(OWNER_ID) if known else None

    def load(self) -> dict[str, float]:
        return dict(self._plain["signed_out"])

    def keep(self, revoked: dict[str, float]) -> None:
        with self._lock:
            self._plain["signed_out"] = revoked
            self._write()

    @cached_property
    def _nobody(self) -> str:
        # made when it is first needed: a hash is 64 MB and 50 ms, too much for a start
        return self._hasher.hash("nobody has this password")

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._plain), durable=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(plain["key"], str) and isinstance(plain["signed_out"], dict) and "owner" in plain:
            return dict(plain)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SettingsError(
            f"{path} cannot be read ({type(exc).__name__}): restore it, or delete it and make a new owner"
        ) from exc
    raise SettingsError(f"{path} is not of this program: restore it, or delete it and make a new owner")


def publish_code(path: Path, code: str | None) -> None:
    """Leave the one-time code where ``algo up`` finds it, for this user's eyes only; None takes it away.

    Raises ``OSError``.
    """
    if code is not None:
        write_whole(path, code + "\n")
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
