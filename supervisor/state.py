"""What outlives the supervisor: which process is which child, and how to talk to a running supervisor.

``db/run`` (``db/sim/run`` for simulated runs) holds ``state.json`` (identities of children, for adoption),
``control.json`` (port and token of the running supervisor) and ``supervisor.lock``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from brokers.venue import Venue
from supervisor.children.identity import Identity


@dataclass(frozen=True, slots=True)
class Record:
    """One child as remembered on disk."""

    key: str
    instance: str
    identity: Identity
    started_at: str
    restarts: int


class RunFolder:
    """The run folder of one venue."""

    def __init__(self, home: Path, venue: Venue) -> None:
        self.home = home
        self.venue = venue
        self.path = home / "db" / "sim" / "run" if venue is Venue.SIM else home / "db" / "run"

    @property
    def state_path(self) -> Path:
        """Which processes are which children; ``live_children`` reads it."""
        return self.path / "state.json"

    @property
    def control_path(self) -> Path:
        """Port and token of the running supervisor."""
        return self.path / "control.json"

    @property
    def lock_path(self) -> Path:
        """Held by the one supervisor of this folder."""
        return self.path / "supervisor.lock"

    def write_state(self, instances: list[str], options: Mapping[str, object], rows: list[Record]) -> None:
        """Replace the file whole. Raises ``OSError``."""
        plain = {
            "instances": instances,
            "options": dict(options),
            "children": [asdict(row) for row in rows],
        }
        _write_private(self.state_path, plain)

    def read_state(self) -> tuple[list[str], dict[str, object], list[Record]]:
        """Instances asked for, options, children; empty when there is no (readable) file."""
        plain = _read(self.state_path)
        rows = [record for row in plain.get("children", []) if (record := _record(row)) is not None]
        return list(plain.get("instances", [])), dict(plain.get("options", {})), rows

    def live_children(self) -> list[tuple[Record, psutil.Process]]:
        """Those of the file whose process is really the recorded one."""
        found = [(row, row.identity.process()) for row in self.read_state()[2]]
        return [(row, process) for row, process in found if process is not None]

    def write_control(self, port: int, token: str, identity: Identity) -> None:
        """From now on commands find this supervisor."""
        _write_private(self.control_path, {"port": port, "token": token, "identity": asdict(identity)})

    def read_control(self) -> tuple[int, str] | None:
        """Port and token of a supervisor that is alive; None otherwise."""
        if self.supervisor() is None:
            return None
        plain = _read(self.control_path)
        return int(plain["port"]), str(plain["token"])

    def supervisor(self) -> psutil.Process | None:
        """The process behind the control file, None when it is gone."""
        identity = Identity.from_plain(_read(self.control_path).get("identity"))
        return identity.process() if identity else None

    def clear_control(self) -> None:
        """From now on commands find none."""
        self.control_path.unlink(missing_ok=True)


def running_venue(home: Path) -> Venue | None:
    """The venue with live children or a live supervisor under this home; None when nothing runs."""
    for venue in Venue:
        folder = RunFolder(home, venue)
        if folder.read_control() is not None or folder.live_children():
            return venue
    return None


def _record(row: Mapping[str, Any]) -> Record | None:
    identity = Identity.from_plain(row.get("identity"))
    if identity is None:
        return None
    return Record(
        key=row["key"],
        instance=row["instance"],
        identity=identity,
        started_at=row["started_at"],
        restarts=row["restarts"],
    )


def _write_private(path: Path, plain: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(plain, indent=1))


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by the owner only (the control token is a key)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        os.unlink(name)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return plain if isinstance(plain, dict) else {}
