"""Time-based one-time passwords (RFC 6238, SHA-1, six digits, 30 s), as broker apps hand out their seeds.

By ``cryptography`` rather than pyotp: since 2.12 that refuses seeds below 112 bits, and the 16-character
seeds authenticator apps have used from the beginning have 80.
"""

from __future__ import annotations

import binascii
from base64 import b32decode
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S = 30
DIGITS = 6


def code(seed: str, at: datetime) -> str:
    """The code of one moment.

    Args:
        seed: Base32, blanks and case do not matter.
        at: Aware time.

    Raises:
        ValueError: Not base32, or empty.
    """
    text = "".join(seed.split()).upper().rstrip("=")
    try:
        key = b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error as exc:
        raise ValueError("the TOTP seed is not base32") from exc
    if not key:
        raise ValueError("the TOTP seed is empty")
    # SHA-1 is what RFC 6238's default and every authenticator app use
    maker = TOTP(key, DIGITS, SHA1(), STEP_S, enforce_key_length=False)
    return maker.generate(int(at.timestamp())).decode()
