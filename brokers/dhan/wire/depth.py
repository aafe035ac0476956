"""The 20- and 200-level books: packets of their own, with a 12-byte header.

Source: Dhan API v2, "Full Market Depth".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

from brokers.dhan.wire.market import DEPTH_LEVELS
from brokers.errors import WireError
from brokers.model import Level

HEADER = struct.Struct("<HBBII")
_ROW = struct.Struct("<dII")
_REASON = struct.Struct("<H")
_SIDES = {41: "bid", 51: "ask"}


class Side(NamedTuple):
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
        return list(_ROW.iter_unpack(self.raw))

    def levels(self) -> tuple[Level, ...]:
        """As ``rows``, without the zero rows that fill up a packet."""
        return tuple(Level(*row) for row in _ROW.iter_unpack(self.raw) if row[0] or row[1])


class Disconnect(NamedTuple):
    """``reason`` is one of ``market.DISCONNECTS``."""

    length: int
    code: int
    segment: int
    security_id: int
    number: int
    reason: int


def split(frame: bytes, levels: int) -> Iterator[Side | Disconnect]:
    """Cut one full-depth message into sides. The header here is 12 bytes, length first.

    Args:
        levels: 20 or 200, the socket it came from: only the 200-level header says how many rows there are.

    Raises:
        WireError: As ``market.split``.

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
        length, code, segment, security_id, number = HEADER.unpack_from(frame, at)
        if length < 12 or length > end - at:
            raise WireError(f"code {code} at byte {at} says {length} bytes, {end - at} are there", frame)
        if code in _SIDES:
            rows = min(levels, (length - 12) // 16)
            if levels == 20 and rows < 20:
                raise WireError(f"code {code} at byte {at} says {length} bytes, it has 332", frame)
            if levels != 20:
                rows = min(rows, number)
            yield Side(length, code, segment, security_id, number, frame[at + 12 : at + 12 + rows * 16])
        elif code == 50 and length >= 14:
            (reason,) = _REASON.unpack_from(frame, at + 12)
            yield Disconnect(length, code, segment, security_id, number, reason)
        else:
            unknown = unknown or f"unknown code {code} of {length} bytes at byte {at}"
        at += length
    if unknown:
        raise WireError(unknown, frame)


def subscribe200(segment: str, security_id: str, request_code: int = DEPTH_LEVELS) -> str:
    """The 200-level socket takes one instrument, flat."""
    return json.dumps(
        {"RequestCode": request_code, "ExchangeSegment": segment, "SecurityId": security_id},
        separators=(",", ":"),
    )
