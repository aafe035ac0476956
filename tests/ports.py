"""Free loopback ports for tests that start real servers."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Distinct ports nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
