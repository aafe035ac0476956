"""What the supervisor tells the process, in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from brokers.errors import SettingsError
from brokers.venue import Venue
from historify.paths import StorePaths, is_server


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance to pull through.

    Attributes:
        api: ``http://127.0.0.1:5001``.
        standby: Takes over only because it was named as one.
    """

    instance: str
    broker: str
    api: str
    standby: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """One store and who may fill it; ``candidates`` are in order, the designated one first.

    Attributes:
        store: Path of the face, or a ``postgresql://`` URL.
        run_dir: Folder of the configuration file: ``db[/sim]/run``.
        hours: ``nse``: sessions from the calendar; ``always``: the simulated exchange never closes.
    """

    store: str
    run_dir: Path
    venue: Venue
    hours: str
    publish_s: float
    port: int
    secret_file: Path
    candidates: tuple[Candidate, ...]

    @property
    def paths(self) -> StorePaths:
        """Where jobs and locks lie; with a database server beside the home's other databases."""
        if is_server(self.store):
            return StorePaths(self.run_dir.parent / "historify.duckdb")
        return StorePaths(Path(self.store))

    @property
    def log_file(self) -> Path:
        """Where the supervisor led standard error."""
        return self.run_dir.parent / "log" / "historify.log"


def read(path: Path) -> Config:
    """Raises ``SettingsError`` saying what is wrong in which file."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return _config(plain, path.resolve().parent)
    except (OSError, UnicodeError) as exc:
        raise SettingsError(f"{path} cannot be read: {exc}") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise SettingsError(f"{path}: {type(exc).__name__}: {exc}; the supervisor writes this file") from exc


def _config(plain: dict[str, Any], run_dir: Path) -> Config:
    venue = Venue(plain["venue"])
    candidates = tuple(
        Candidate(str(c["instance"]), str(c["broker"]), str(c["api"]).rstrip("/"), bool(c.get("standby")))
        for c in plain["candidates"]
    )
    for each in candidates:
        if urlsplit(each.api).scheme != "http" or not urlsplit(each.api).hostname:
            raise ValueError(f"api of {each.instance} is {each.api}, expected http://host:port")
    hours = str(plain.get("hours", "nse"))
    if hours not in ("always", "nse") or (hours == "always" and venue is not Venue.SIM):
        raise ValueError(f"hours is {hours} with venue {venue}")
    return Config(
        store=str(plain["store"]),
        run_dir=run_dir,
        venue=venue,
        hours=hours,
        publish_s=float(plain.get("publish_seconds", 15)),
        port=int(plain["port"]),
        secret_file=Path(plain["secret_file"]),
        candidates=candidates,
    )
