"""What the supervisor tells the process: where the home is, where to listen, under which names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from brokers.errors import SettingsError
from brokers.venue import Venue
from supervisor.state import RunFolder

CODE = "console.code"
"""In the run folder while there is no owner: the one-time code, for ``algo up`` to print."""


@dataclass(frozen=True, slots=True)
class Config:
    """``hosts``: names a ``Host`` header may carry."""

    home: Path
    venue: Venue
    port: int
    hosts: tuple[str, ...]

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.home, self.venue)

    @property
    def data(self) -> Path:
        """``db`` or ``db/sim``."""
        return self.folder.path.parent


def read(path: Path) -> Config:
    """Raises ``SettingsError`` naming the file."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            Path(plain["home"]),
            Venue(plain["venue"]),
            int(plain["port"]),
            tuple(str(name) for name in plain["hosts"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SettingsError(f"{path}: not a configuration of the fleet page: {exc}") from exc
