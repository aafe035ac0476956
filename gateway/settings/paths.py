"""Where an instance's files lie, and which instances there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from brokers.model import Venue
from gateway.settings import store
from gateway.settings.envfile import EnvFile

NAME = re.compile(r"^[a-z][a-z0-9_]{0,30}$")
FIRST_PORTS = {"FLASK_PORT": 5000, "WEBSOCKET_PORT": 8765, "ZMQ_PORT": 5555}
FIXED_STEP = {"kotak": 0, "dhan": 1}


@dataclass(frozen=True, slots=True)
class Databases:
    """Absolute paths of an instance's SQLite files and of the shared DuckDB store."""

    main: Path
    logs: Path
    latency: Path
    sandbox: Path
    historify: Path

    def sqlite(self) -> dict[str, Path]:
        return {
            "DATABASE_URL": self.main,
            "LOGS_DATABASE_URL": self.logs,
            "LATENCY_DATABASE_URL": self.latency,
            "SANDBOX_DATABASE_URL": self.sandbox,
        }


def instance_names(home: Path) -> list[str]:
    """Instances that have an env file, kotak and dhan first, then by name."""
    found = [p.stem for p in (home / "instances").glob("*.env") if NAME.match(p.stem)]
    return sorted(found, key=lambda n: (FIXED_STEP.get(n, 99), n))


def databases(home: Path, name: str, venue: Venue) -> Databases:
    """Where an instance's files lie, without reading its credentials. Raises ``SettingsError``."""
    return databases_in(EnvFile.read(home / "instances" / f"{name}.env", home), name, home, venue)


def databases_in(env: EnvFile, name: str, home: Path, venue: Venue) -> Databases:
    """The same of an env file that was read."""

    def path(key: str, default: str) -> Path:
        # whatever the env names, a simulated run stays under db/sim/
        text = default if venue is Venue.SIM else env.text(key, default)
        text = text.removeprefix("sqlite:///")
        if venue is Venue.SIM:
            return home / "db" / "sim" / text.removeprefix("db/")
        return (home / text).resolve()

    return Databases(
        main=path("DATABASE_URL", f"db/openalgo_{name}.db"),
        logs=path("LOGS_DATABASE_URL", f"db/logs_{name}.db"),
        latency=path("LATENCY_DATABASE_URL", f"db/latency_{name}.db"),
        sandbox=path("SANDBOX_DATABASE_URL", f"db/sandbox_{name}.db"),
        historify=store.face(env, home, sim=venue is Venue.SIM),
    )
