"""Pure: numbers and times as a person reads them, the same as ``lib/fmt.js`` says them."""

from __future__ import annotations

from datetime import datetime

from brokers.clock import IST

NOTHING = "–"


def span(seconds: float | None) -> str:
    """``0.4 s``, ``34 s``, ``12 min``, ``3 h``, ``2 d``."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


def size(count: float) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def moment(at: datetime) -> str:
    """``Sat 21 Nov, 00:00 IST``."""
    return f"{at.astimezone(IST):%a %d %b, %H:%M} IST"


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms" if value < 10_000 else span(value / 1000)


def signed(value: float) -> str:
    """Rupees with a sign, thousands grouped as in India: ``+1,23,456.00``."""
    whole, _, cents = f"{abs(value):.2f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups: list[str] = []
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    sign = "-" if value < 0 else "+" if value > 0 else ""
    return f"{sign}{','.join([*groups, tail])}.{cents}"
