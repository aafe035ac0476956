"""All processes of an instance start at once; each waits here for what it needs of the others.

A simulated broker takes a second to list 200,000 instruments, an api process as long to load. Knocking in
vain would cost retries with growing pauses, so whoever starts beside them waits until they listen. Every wait
has an end: after it things go their usual way, calls fail, say so and are tried again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from brokers.model import Venue
from gateway.settings import Settings

BROKER_PATIENCE_S = 30.0
API_PATIENCE_S = 5.0
LOOK_S = 0.03
CONNECT_S = 1.0


def broker_listens(settings: Settings) -> bool:
    """Whether the simulated broker can be talked to; always so with a live one."""
    return settings.venue is not Venue.SIM or _listens("127.0.0.1", settings.sim_port)


def wait_for_broker(settings: Settings, given_up: Callable[[float], bool]) -> None:
    """Block until the simulated broker listens, at most ``BROKER_PATIENCE_S``.

    Args:
        given_up: Sleeps so many seconds and says whether the process is to end.
    """
    ends = time.monotonic() + BROKER_PATIENCE_S
    while not broker_listens(settings) and time.monotonic() < ends:
        if given_up(LOOK_S):
            return


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return True
    except OSError:
        return False
