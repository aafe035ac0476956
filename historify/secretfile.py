"""The secret the processes of one home share: who may ask an api to pull history on the store's behalf."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from brokers.errors import SettingsError
from brokers.secret import Secret

HEADER = "X-Algo-Historify"
NAME = "historify.key"
BYTES = 32


def home_secret(path: Path) -> Secret:
    """The secret in ``path``; made, 0600, by whoever needs it first.

    Raises:
        SettingsError: It cannot be made or read, or holds something else.
    """
    try:
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as exc:
        raise SettingsError(f"{path}: the home's secret cannot be read or made: {exc}") from exc
    if len(text) < BYTES:
        raise SettingsError(f"{path} holds something else than the home's secret: delete it and restart")
    return Secret(text)


def _make(path: Path) -> None:
    """Written aside and linked in place, so that nobody ever reads half a secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(BYTES).encode())
        os.close(descriptor)
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(aside, path)
    finally:
        aside.unlink()
