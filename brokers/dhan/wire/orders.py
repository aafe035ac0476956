"""The order feed: JSON texts, one login, then every order of the account.

Source: Dhan API v2, "Live Order Update", and the official client ``dhanhq`` 2.3.0.
"""

from __future__ import annotations

import json
from typing import Any

from brokers.errors import WireError


def login(client_id: str, token: str) -> str:
    """First message on the order-update socket. Holds the token: never log it."""
    return json.dumps(
        {"LoginReq": {"MsgCode": 42, "ClientId": client_id, "Token": token}, "UserType": "SELF"},
        separators=(",", ":"),
    )


def read(text: str | bytes) -> dict[str, Any] | None:
    """The ``Data`` of one order-update message; None for a message of another type.

    Raises:
        WireError: Not JSON, or an order alert without data.
    """
    raw = text.encode() if isinstance(text, str) else text
    try:
        message = json.loads(raw)
    except ValueError as exc:
        raise WireError("order update is not JSON", raw) from exc
    if not isinstance(message, dict) or message.get("Type") != "order_alert":
        return None
    data = message.get("Data")
    if not isinstance(data, dict):
        raise WireError("order alert without Data", raw)
    return data
