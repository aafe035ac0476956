"""What comes from the environment: where the home is, a service manager's wishes, what children inherit.

The only module that reads it (ruff's TID251 holds that). Apart from ``settings``: a quick command need not
load those.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def find_home(given: str | None, start: Path | None = None) -> Path:
    """``--home``, else ``ALGO_HOME``, else the nearest folder upward with ``instances/``, else ``~/algo``."""
    named = given or os.environ.get("ALGO_HOME")
    if named:
        return Path(named).expanduser().resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "instances").is_dir():
            return folder
    return Path.home() / "algo"


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """What systemd hands to a service (sd_notify, sd_watchdog_enabled).

    Attributes:
        socket: Where to send states; an abstract address begins with NUL. Empty: nobody listens.
        watchdog_s: It expects a sign of life within this time; 0: it does not.
    """

    socket: str = ""
    watchdog_s: float = 0.0


def service_manager() -> ServiceManager:
    where = os.environ.get("NOTIFY_SOCKET", "")
    text = os.environ.get("WATCHDOG_USEC", "0")
    return ServiceManager(
        "\0" + where[1:] if where.startswith("@") else where, int(text) / 1e6 if text.isdigit() else 0.0
    )


def inherited(**added: str) -> dict[str, str]:
    """The environment of a child process: ours, and what is added."""
    return {**os.environ, **added}
