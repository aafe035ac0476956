"""Zenith's refusals. What each becomes is decided by ``brokers.jsoncalls``: status, then these codes."""

from __future__ import annotations

import json
from typing import Any

from brokers.reasons import Refusal

LOGIN = frozenset({"AUTH", "TOTP"})
"""Codes only a new login cures."""
ADDRESS = frozenset({"IP"})
"""Codes that mean this machine's address."""
NO_DATA = "NODATA"


def parse(body: bytes) -> Any:
    """JSON body, None when it is not JSON (gateways answer HTML)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read(data: Any) -> Refusal:
    """The refusal in a parsed body, an empty one when there is none."""
    error = data.get("error") if isinstance(data, dict) else None
    if not isinstance(error, dict):
        return Refusal("", "")
    return Refusal(str(error.get("code") or ""), str(error.get("message") or ""))
