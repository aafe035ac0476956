"""Our mark on an order: short, unique, letters and digits only."""

from __future__ import annotations

import secrets

TAG_LENGTH = 16
"""Under both brokers' limits (20 and 25), with room for what a modify appends. 80 random bits."""
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def new_tag() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(TAG_LENGTH))
