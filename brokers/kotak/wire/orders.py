"""The order feed: text frames, no subscription; the server pushes every order and position of the account.

Source: kotak-wire.md section 5, kotak-frames.json ``order_feed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from brokers.errors import WireError

HEARTBEAT = "{type:hb}"
HEARTBEAT_EVERY_S = 30.0


def connect_stripped(token: str, sid: str) -> str:
    """First frame as the official clients send it: JSON without a quote or a space, so not JSON."""
    return f"{{type:cn,Authorization:{token},Sid:{sid},src:WEB}}"


def connect_json(token: str, sid: str) -> str:
    """The same as JSON; some data centres are reported to accept only this, others only the other."""
    return msgspec.json.encode({"type": "cn", "Authorization": token, "Sid": sid, "src": "WEB"}).decode()


CONNECT_FORMS = (connect_stripped, connect_json)


@dataclass(frozen=True, slots=True)
class Greeting:
    """Answer to the connect text."""

    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class OrderNews:
    """``data``: fields of an order-book row, possibly few of them."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OtherNews:
    """A position, a heartbeat answer, or a type published after this was written."""

    type: str
    data: Mapping[str, Any]


def read(text: str | bytes) -> Greeting | OrderNews | OtherNews:
    """One message.

    Raises:
        WireError: Not a JSON object, or an order without its fields.
    """
    frame = text.encode() if isinstance(text, str) else text
    try:
        message = msgspec.json.decode(frame)
    except (ValueError, RecursionError) as exc:
        raise WireError(f"order feed message is not JSON: {exc}", frame) from exc
    if not isinstance(message, dict):
        raise WireError("order feed message is not an object", frame)
    if "ak" in message:
        return Greeting(message["ak"] == "ok", str(message.get("msg", "")))
    kind, data = message.get("type"), message.get("data")
    if kind == "order":
        if not isinstance(data, dict) or not data.get("nOrdNo"):
            raise WireError("order message without an order number", frame)
        return OrderNews(data)
    return OtherNews(str(kind), data if isinstance(data, dict) else {})
