"""Whom a request really comes from, when a proxy of ours stands in front: ``TRUSTED_PROXIES``.

Without it everybody behind nginx would share one rate limit. A header from anybody else is not believed: it
would let a caller choose whose limit it uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from brokers.errors import SettingsError

Network = IPv4Network | IPv6Network


def networks(text: str, where: str) -> tuple[Network, ...]:
    """``127.0.0.1,10.0.0.0/8`` as networks.

    Raises:
        SettingsError: One of them is not an address or network.
    """
    try:
        return tuple(ip_network(word.strip(), strict=False) for word in text.split(",") if word.strip())
    except ValueError as exc:
        raise SettingsError(f"{where}: TRUSTED_PROXIES: {exc}") from exc


def client(peer: str, forwarded: str, trusted: Iterable[Network]) -> str:
    """The nearest address that is not a trusted proxy's.

    Args:
        peer: Address of the connection.
        forwarded: ``X-Forwarded-For``: each proxy appends whom it heard, so only the right end is believed,
            and only as far as it was written by trusted ones.
    """
    trusted = tuple(trusted)
    chain = [word.strip() for word in forwarded.split(",") if word.strip()]
    nearest = peer
    while chain and _within(nearest, trusted):
        following = chain.pop()
        try:
            nearest = str(ip_address(following))
        except ValueError:
            break
    return nearest


def _within(address: str, trusted: tuple[Network, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in trusted)
