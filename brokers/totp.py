"""Time-based one-time passwords (RFC 6238, SHA-1, six digits, 30 s), as broker apps hand out their seeds.

Not pyotp: since 2.12 it refuses seeds below 112 bits, and the 16-character seeds authenticator apps have used
from the beginning have 80.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b32decode
from datetime import datetime

STEP_S = 30


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
    counter = int(at.timestamp()) // STEP_S
    digest = hmac.new(key, counter.to_bytes(8, "big"), hashlib.sha1).digest()
    start = digest[-1] & 0xF
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"
