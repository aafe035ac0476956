"""What must be true of the machine before anything starts."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

try:
    import resource
except ImportError:  # Windows: untested
    resource = None  # type: ignore[assignment]  # a module elsewhere

from brokers.errors import SettingsError
from supervisor.plan import ChildSpec, PortClaim

LITTLE_DISK_MB = 1000
MANY_DESCRIPTORS = 65_536


def check_ports(specs: Sequence[ChildSpec]) -> None:
    """Every port of these children can be bound now.

    Raises:
        SettingsError: All taken ports in one message, each with its setting and its holder.
    """
    taken = taken_ports(specs)
    if taken:
        raise SettingsError("; ".join(taken))


def taken_ports(specs: Sequence[ChildSpec]) -> list[str]:
    """One line for each port of these children that cannot be bound now."""
    return [_describe(claim) for spec in specs for claim in spec.ports if not _is_free(claim)]


def disk_low(home: Path) -> str:
    """Why the disk of a home is too full for comfort; empty when it is not, or cannot be looked at."""
    try:
        free = shutil.disk_usage(home).free // 1_000_000
    except OSError:
        return ""
    return f"{free} MB free on the disk of {home}" if free < LITTLE_DISK_MB else ""


def descriptor_limit() -> int | None:
    """How many files a process of this user may open; None where that has no meaning."""
    return None if resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the system grants without asking; what is started later has them too."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MANY_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_free(claim: PortClaim) -> bool:
    family = socket.AF_INET6 if ":" in claim.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((claim.host, claim.port))
        except OSError:
            return False
    return True


def _describe(claim: PortClaim) -> str:
    return (
        f"port {claim.port} ({claim.setting}, {claim.where}) is held by {holder(claim.port)}; "
        "end that program or change the setting"
    )


def holder(port: int) -> str:
    """``name (pid N)`` of who listens on a TCP port, as far as the system tells."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, PermissionError):
        return "another program (its name needs more rights to see)"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                break
            try:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                break
    return "another program"
