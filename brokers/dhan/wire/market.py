"""The live market feed: little-endian packets to be told with, JSON text to ask with.

Source: Dhan API v2, "Live Market Feed", and the official client ``dhanhq`` 2.3.0 where the pages are silent.
Offsets count from 0 and include the header.
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
    """``prev_close`` in rupees; comes once after a subscription."""

    code: int
    length: int
    segment: int
    security_id: int
    prev_close: float
    prev_oi: int


class OpenInterest(NamedTuple):
    """In units, not lots."""

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


def disconnect() -> str:
    return json.dumps({"RequestCode": DISCONNECT}, separators=(",", ":"))


def disconnect_binary(client_id: str) -> bytes:
    """What the official client sends after ``disconnect``; a server ignores it."""
    return struct.pack("<BH30s50s", DISCONNECT, 83, client_id.encode("ascii"), b"")
