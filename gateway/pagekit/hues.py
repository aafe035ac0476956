"""Which colour an instance wears: the same on its own pages, on the fleet page and in every comparison."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

HUES = 6
"""``hue-N`` classes of ``style.css``, ``--sN`` colours of ``comparison.css`` and ``icon-N.svg`` files."""
FIXED_HUES = {"kotak": 0, "dhan": 1}
"""Kotak and Dhan, which most people run side by side; other instances share the rest by their name."""


def hue_of(instance: str) -> int:
    """The same for a name on every page and after every start."""
    first_free = len(FIXED_HUES)
    return FIXED_HUES.get(instance, first_free + zlib.crc32(instance.encode()) % (HUES - first_free))


def hues_of(instances: Iterable[str]) -> dict[str, int]:
    """Of several in one drawing: two that would wear the same get two, as long as there are enough."""
    found: dict[str, int] = {}
    for name in sorted(instances, key=lambda one: (one not in FIXED_HUES, one)):
        own = hue_of(name)
        free = [hue % HUES for hue in range(own, own + HUES) if hue % HUES not in found.values()]
        # what is kept for Kotak and Dhan goes last
        found[name] = next(iter(sorted(free, key=lambda hue: hue != own and hue < len(FIXED_HUES))), own)
    return found
