"""What a JSON Web Token says about itself. Unverified: it is the broker's to check."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def claims(token: str) -> Mapping[str, Any]:
    """The claims; none when it is no such token."""
    parts = token.split(".")
    if len(parts) < 2:
        return {}
    try:
        found = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def expiry(token: str) -> datetime | None:
    """``exp`` as aware UTC; None when there is none that can be read."""
    try:
        seconds = int(claims(token).get("exp") or 0)
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None
