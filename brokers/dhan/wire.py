"""Dhan's WebSocket bytes and messages as values. Pure: no socket, clock, file or logger.

Source: Dhan API v2, "Live Market Feed", "Full Market Depth", "Live Order Update", and the official client
``dhanhq`` 2.3.0 where the pages are silent. Offsets count from 0 and include the header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from brokers.errors import WireError
from brokers.model import Depth, Level

INSTRUMENTS_PER_MESSAGE = 100
SEGMENTS = {
    0: "IDX_I",
    1: "NSE_EQ",
    2: "NSE_FNO",
    3: "NSE_CURRENCY",
    4: "BSE_EQ",
    5: "MCX_COMM",
    7: "BSE_CURRENCY",
    8: "BSE_FNO",
}
SEGMENT_CODES = {name: code for code, name in SEGMENTS.items()}

TICKER, QUOTE, FULL, DEPTH_LEVELS = 15, 17, 21, 23
"""Subscribe request codes. The matching unsubscribe is one more."""
DISCONNECT = 12


class Ticker(NamedTuple):
    """``ltp`` in rupees as sent (float32); ``ltt_raw`` is IST wall clock written as an epoch."""

    code: int
    length: int
    segment: int
    security_id: int
    ltp: float
    ltt_raw: int


class PrevClose(NamedTuple):
    code: int
    length: int
    segment: int
    security_id: int
    prev_close: float
    prev_oi: int


class OpenInterest(NamedTuple):
    code: int
    length: int
    segment: int
    security_id: int
    oi: int


class QuotePacket(NamedTuple):
    """Quantities in units; the total to sell stands before the total to buy."""

    code: int
    length: int
    segment: int
    security_id: int
    ltp: float
    ltq: int
    ltt_raw: int
    atp: float
    volume: int
    total_sell_qty: int
    total_buy_qty: int
    day_open: float
    day_close: float
    day_high: float
    day_low: float


class FullPacket(NamedTuple):
    """``depth_raw``: 100 bytes, decoded by ``depth5`` when somebody wants it."""

    code: int
    length: int
    segment: int
    security_id: int
    ltp: float
    ltq: int
    ltt_raw: int
    atp: float
    volume: int
    total_sell_qty: int
    total_buy_qty: int
    oi: int
    oi_day_high: int
    oi_day_low: int
    day_open: float
    day_close: float
    day_high: float
    day_low: float
    depth_raw: bytes


class V1Depth(NamedTuple):
    """Not part of v2; the official client still parses it."""

    code: int
    length: int
    segment: int
    security_id: int
    ltp: float
    depth_raw: bytes


class MarketStatus(NamedTuple):
    """Header only: no body is documented."""

    code: int
    length: int
    segment: int
    security_id: int


class Disconnect(NamedTuple):
    """``reason`` is one of ``DISCONNECTS``; segment and id mean nothing here."""

    code: int
    length: int
    segment: int
    security_id: int
    reason: int


class Unread(NamedTuple):
    """Named by the annexure but without a published layout (code 1), or a keep-alive (code 0)."""

    code: int
    length: int
    segment: int
    security_id: int


Packet = (
    Ticker
    | PrevClose
    | OpenInterest
    | QuotePacket
    | FullPacket
    | V1Depth
    | MarketStatus
    | Disconnect
    | Unread
)

HEADER = struct.Struct("<BHBI")
_MakePacket = Callable[[tuple[Any, ...]], Packet]
_LAYOUTS: dict[int, tuple[struct.Struct, _MakePacket]] = {
    2: (struct.Struct("<BHBIfI"), Ticker._make),
    3: (struct.Struct("<BHBIf100s"), V1Depth._make),
    4: (struct.Struct("<BHBIfHIfIIIffff"), QuotePacket._make),
    5: (struct.Struct("<BHBII"), OpenInterest._make),
    6: (struct.Struct("<BHBIfI"), PrevClose._make),
    7: (HEADER, MarketStatus._make),
    8: (struct.Struct("<BHBIfHIfIIIIIIffff100s"), FullPacket._make),
    50: (struct.Struct("<BHBIH"), Disconnect._make),
    1: (HEADER, Unread._make),
}
_KEEP_ALIVE = 0
_LEVEL5 = struct.Struct("<IIHHff")  # bid quantity, ask quantity, bid orders, ask orders, bid, ask

DEPTH_HEADER = struct.Struct("<HBBII")
_DEPTH_ROW = struct.Struct("<dII")
_DEPTH_REASON = struct.Struct("<H")
_SIDES = {41: "bid", 51: "ask"}

DISCONNECTS = {
    800: "server error",
    804: "more instruments than allowed",
    805: "too many requests or connections; another client took the slot",
    806: "data plan not subscribed",
    807: "access token expired",
    808: "authentication failed (client id or token)",
    809: "access token invalid",
    810: "client id invalid",
    811: "invalid expiry date",
    812: "invalid date format",
    813: "invalid security id",
    814: "invalid request",
}


def split(frame: bytes) -> Iterator[Packet]:
    """Cut one live-feed message into packets.

    Walks by the header's length, which counts the header itself. A code nobody knows is stepped over and
    reported after the packets behind it, so one new packet type cannot hide the others.

    Args:
        frame: One whole binary message; may hold several packets back to back.

    Yields:
        Packets in the order sent. Prices are as sent (float32), not yet rounded to a tick.

    Raises:
        WireError: After the readable packets were yielded: empty frame, cut short, a length smaller than
            its code's size, or an unknown code. Carries the frame.

    Source: Dhan API v2, Live Market Feed; raw capture in DhanHQ-py issue 90 (little endian, 162 bytes).
    """
    end = len(frame)
    if not end:
        raise WireError("empty frame", frame)
    at = 0
    unknown = ""
    while at < end:
        if end - at < 8:
            raise WireError(f"cut short at byte {at}: {end - at} bytes of an 8-byte header", frame)
        code = frame[at]
        length = frame[at + 1] | frame[at + 2] << 8
        if code == _KEEP_ALIVE and length < 8:
            # its length may be 0, so whatever follows cannot be found
            yield Unread._make(HEADER.unpack_from(frame, at))
            break
        if length < 8:
            raise WireError(f"code {code} at byte {at} says it has {length} bytes", frame)
        if length > end - at:
            raise WireError(
                f"cut short at byte {at}: code {code} of {length} bytes, {end - at} are there", frame
            )
        layout = _LAYOUTS.get(code)
        if layout is not None:
            if length < layout[0].size:
                raise WireError(
                    f"code {code} at byte {at} says {length} bytes, it has {layout[0].size}", frame
                )
            yield layout[1](layout[0].unpack_from(frame, at))
        elif code == _KEEP_ALIVE:
            yield Unread._make(HEADER.unpack_from(frame, at))
        else:
            unknown = unknown or f"unknown code {code} of {length} bytes at byte {at}"
        at += length
    if unknown:
        raise WireError(unknown, frame)


def rows5(raw: bytes) -> list[tuple[int, int, int, int, float, float]]:
    """The five rows as sent: bid quantity, ask quantity, bid orders, ask orders, bid price, ask price."""
    return list(_LEVEL5.iter_unpack(raw))


def top5(raw: bytes) -> tuple[int, int, int, int, float, float]:
    """The best row only; same fields as ``rows5``."""
    return _LEVEL5.unpack_from(raw)


def depth5(raw: bytes) -> Depth:
    """Five levels, best first; a level of price 0 and quantity 0 is no level."""
    bids: list[Level] = []
    asks: list[Level] = []
    for bid_qty, ask_qty, bid_orders, ask_orders, bid, ask in _LEVEL5.iter_unpack(raw):
        if bid or bid_qty:
            bids.append(Level(bid, bid_qty, bid_orders))
        if ask or ask_qty:
            asks.append(Level(ask, ask_qty, ask_orders))
    return Depth(tuple(bids), tuple(asks))


class DepthSide(NamedTuple):
    """One side of a 20- or 200-level book. ``number`` is a sequence (20, to be ignored) or the rows (200).

    ``raw`` holds 16 bytes a row, undecoded.
    """

    length: int
    code: int
    segment: int
    security_id: int
    number: int
    raw: bytes

    @property
    def side(self) -> str:
        return _SIDES[self.code]

    def rows(self) -> list[tuple[float, int, int]]:
        """Price (float64), quantity and orders of every row as sent, best first."""
        return list(_DEPTH_ROW.iter_unpack(self.raw))

    def levels(self) -> tuple[Level, ...]:
        """As ``rows``, without the zero rows that fill up a packet."""
        return tuple(Level(*row) for row in _DEPTH_ROW.iter_unpack(self.raw) if row[0] or row[1])


class DepthDisconnect(NamedTuple):
    length: int
    code: int
    segment: int
    security_id: int
    number: int
    reason: int


def split_depth(frame: bytes, levels: int) -> Iterator[DepthSide | DepthDisconnect]:
    """Cut one full-depth message into sides. The header here is 12 bytes, length first.

    Args:
        levels: 20 or 200, the socket it came from: only the 200-level header says how many rows there are.

    Raises:
        WireError: As ``split``.

    Source: Dhan API v2, Full Market Depth. Once the pages swap bid and ask; the code table is right.
    """
    end = len(frame)
    if not end:
        raise WireError("empty frame", frame)
    at = 0
    unknown = ""
    while at < end:
        if end - at < 12:
            raise WireError(f"cut short at byte {at}: {end - at} bytes of a 12-byte header", frame)
        length, code, segment, security_id, number = DEPTH_HEADER.unpack_from(frame, at)
        if length < 12 or length > end - at:
            raise WireError(f"code {code} at byte {at} says {length} bytes, {end - at} are there", frame)
        if code in _SIDES:
            rows = min(levels, (length - 12) // 16)
            if levels == 20 and rows < 20:
                raise WireError(f"code {code} at byte {at} says {length} bytes, it has 332", frame)
            if levels != 20:
                rows = min(rows, number)
            yield DepthSide(length, code, segment, security_id, number, frame[at + 12 : at + 12 + rows * 16])
        elif code == 50 and length >= 14:
            (reason,) = _DEPTH_REASON.unpack_from(frame, at + 12)
            yield DepthDisconnect(length, code, segment, security_id, number, reason)
        else:
            unknown = unknown or f"unknown code {code} of {length} bytes at byte {at}"
        at += length
    if unknown:
        raise WireError(unknown, frame)


def subscribe(request_code: int, instruments: Sequence[tuple[str, str]]) -> list[str]:
    """Text messages for (segment name, security id) pairs, at most 100 in each.

    Args:
        request_code: 15, 17, 21 or 23; one more unsubscribes (the newer pages say 25 for 23).
    """
    return [
        json.dumps(
            {
                "RequestCode": request_code,
                "InstrumentCount": len(part),
                "InstrumentList": [
                    {"ExchangeSegment": segment, "SecurityId": security_id} for segment, security_id in part
                ],
            },
            separators=(",", ":"),
        )
        for start in range(0, len(instruments), INSTRUMENTS_PER_MESSAGE)
        if (part := instruments[start : start + INSTRUMENTS_PER_MESSAGE])
    ]


def unsubscribe(request_code: int, instruments: Sequence[tuple[str, str]]) -> list[str]:
    """The opposite of ``subscribe`` with the same request code."""
    return subscribe(request_code + 1, instruments)


def subscribe_depth200(segment: str, security_id: str, request_code: int = DEPTH_LEVELS) -> str:
    """The 200-level socket takes one instrument, flat."""
    return json.dumps(
        {"RequestCode": request_code, "ExchangeSegment": segment, "SecurityId": security_id},
        separators=(",", ":"),
    )


def disconnect() -> str:
    return json.dumps({"RequestCode": DISCONNECT}, separators=(",", ":"))


def disconnect_binary(client_id: str) -> bytes:
    """What the official client sends after ``disconnect``; a server ignores it."""
    return struct.pack("<BH30s50s", DISCONNECT, 83, client_id.encode("ascii"), b"")


def order_login(client_id: str, token: str) -> str:
    """First message on the order-update socket. Holds the token: never log it."""
    return json.dumps(
        {"LoginReq": {"MsgCode": 42, "ClientId": client_id, "Token": token}, "UserType": "SELF"},
        separators=(",", ":"),
    )


def order_alert(text: str | bytes) -> dict[str, Any] | None:
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
