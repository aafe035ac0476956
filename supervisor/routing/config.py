"""What the supervisor tells the process: the instances in their fixed order, whose data, where to listen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from brokers.errors import SettingsError
from brokers.venue import Venue


@dataclass(frozen=True, slots=True)
class Config:
    """``data``: the instance that answers for market data. ``hosts``: names a ``Host`` header may carry."""

    home: Path
    venue: Venue
    port: int
    instances: tuple[str, ...]
    data: str
    hosts: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """``db`` or ``db/sim``."""
        return folder_of(self.home, self.venue)


def folder_of(home: Path, venue: Venue) -> Path:
    return home / "db" / "sim" if venue is Venue.SIM else home / "db"


def read(path: Path) -> Config:
    """Raises ``SettingsError`` naming the file."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            Path(plain["home"]),
            Venue(plain["venue"]),
            int(plain["port"]),
            tuple(str(name) for name in plain["instances"]),
            str(plain["data"]),
            tuple(str(name) for name in plain["hosts"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise SettingsError(f"{path}: not a configuration of the route: {exc}") from exc
