"""Free loopback ports for tests that start real servers."""

from __future__ import annotations

import random
import socket

from tests.environment import worker_number

FIRST, EACH, WORKERS = 12_000, 2_000, 8
"""Below the ports the system hands out for outgoing connections, which would take one between its choice and
its use; each parallel worker has a range of its own."""
_GIVEN: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Distinct ports nobody listens on at this moment, and which this process did not give out before."""
    first = FIRST + EACH * (worker_number() % WORKERS)
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(first, first + EACH)
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
