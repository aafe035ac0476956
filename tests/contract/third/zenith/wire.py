"""Zenith's WebSocket texts as values. Pure: no socket, clock, file or logger.

Every message is a JSON object with ``type``: ``ticks``, ``order``, ``welcome`` or ``refused``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brokers.errors import LoginRequired, WireError
from brokers.model import Instrument, Mode

MODES = {Mode.LTP: "ltp", Mode.QUOTE: "quote", Mode.DEPTH: "depth"}
BATCH = 100
"""Instruments of one message."""
_NUMBERS = ("o", "h", "l", "c", "v", "oi", "a", "q", "tb", "ts")


@dataclass(frozen=True, slots=True)
class Packet:
    """One record of the market feed; prices as sent, in rupees.

    Attributes:
        more: Of a quote ``o h l c v oi a q tb ts``, of a book ``b`` and ``s`` (price, quantity, orders).
    """

    segment: str
    token: str
    ltp: float
    traded_at_ms: int
    more: Mapping[str, Any]


def login(token: str) -> str:
    """First message of both sockets. Holds the token: never log it."""
    return json.dumps({"login": token})


def subscribe(instruments: Iterable[Instrument], mode: Mode) -> list[str]:
    """Messages that ask for these instruments."""
    return _asked("subscribe", instruments, mode)


def unsubscribe(instruments: Iterable[Instrument], mode: Mode) -> list[str]:
    """The opposite of ``subscribe``."""
    return _asked("unsubscribe", instruments, mode)


def _asked(what: str, instruments: Iterable[Instrument], mode: Mode) -> list[str]:
    names = [[one.broker_exchange, one.token] for one in instruments]
    parts = (names[start : start + BATCH] for start in range(0, len(names), BATCH))
    return [json.dumps({what: part, "mode": MODES[mode]}) for part in parts]


def _message(frame: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError) as exc:
        raise _unreadable(frame) from exc
    if not isinstance(data, dict):
        raise _unreadable(frame)
    if data.get("type") == "refused":
        raise LoginRequired("Zenith refuses the session")
    return data


def _unreadable(frame: str | bytes) -> WireError:
    return WireError("message that cannot be read", frame.encode() if isinstance(frame, str) else frame)


def split(frame: str | bytes) -> Iterator[Packet]:
    """Packets of one message, in the order sent; none for a message of another kind.

    Raises:
        WireError: Torn or unknown, after the readable packets were yielded; carries the frame.
        LoginRequired: The broker refuses the session.
    """
    data = _message(frame)
    if data.get("type") == "welcome":
        return
    try:
        for row in data["rows"]:
            packet = Packet(str(row["x"]), str(row["t"]), float(row["p"]), int(row["at"]), row)
            numbers = [packet.ltp, *(row[name] for name in _NUMBERS if name in row)]
            if not math.isfinite(sum(numbers)) or ("o" in row) != (len(numbers) > 1):
                raise ValueError("a number is missing")
            yield packet
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise _unreadable(frame) from exc


def order_news(frame: str | bytes) -> dict[str, object] | None:
    """The row of one order message, None for a message of another kind. Raises as ``split``."""
    data = _message(frame)
    if data.get("type") != "order":
        return None
    row = data.get("row")
    if not isinstance(row, dict):
        raise _unreadable(frame)
    return row
