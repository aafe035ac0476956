"""SFeed, the current market feed: JSON text to ask with, little-endian packed packets to be told with.

Each packet is whole (no state between packets) and several may share one message.

Source: kotak-wire.md section 10, kotak-frames.json ``sfeed``; layouts as the official SDK 3.0.9 reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from brokers.errors import WireError
from brokers.model import Depth, Level

SEGMENT_IDS: Mapping[str, int] = {
    "nse_cm": 1,
    "nse_fo": 2,
    "cde_fo": 3,
    "nse_com": 4,
    "bse_cm": 5,
    "bse_fo": 6,
    "bse_cd": 7,
    "bse_co": 8,
    "mcx_fo": 9,
    "ncd_co": 10,
}
SEGMENTS = {number: name for name, number in SEGMENT_IDS.items()}
DIVIDERS: Mapping[int, int] = {
    **dict.fromkeys(range(1, 11), 100),
    3: 10_000_000,
    4: 10_000,
    7: 10_000_000,
    8: 10_000,
    10: 1,
}
"""Published price dividers by segment id, for a server that does not name one when it accepts the login."""

AUTH_ACCEPTED = frozenset({1117, 1119})
AUTH_REFUSED = 1120
SUBSCRIBED = 1109

LITE, TOUCH, DEPTH, FULL_DEPTH = 1, 4, 8, 16
EVENTS: Mapping[str, str] = {
    "lite": "ScripsLite",
    "touch": "Scrips",
    "depth": "Depth",
    "full_depth": "FullDepth",
    "index": "Indices",
}

HEADER = struct.Struct("<HHbBBBB")
_INDEX = struct.Struct("<IiiiiiQiiidBi21s")
_MINI = struct.Struct("<IqIqIiiIBI")
_PICTURE = struct.Struct("<IqqqqqIIIIIqIIIIhiIdiIIIIIBI")
_ROW = struct.Struct("<qii")
_STATUS = struct.Struct("<H5s")
_AUCTION = struct.Struct("<IIqq")
_ROWS_AT = HEADER.size + _PICTURE.size


# --- the control plane -------------------------------------------------------------------------------------


def auth(ucc: str, sid: str, at_ms: int) -> str:
    """First message of a connection, as the official SDK sends it. ``sid`` is the trade sid."""
    return msgspec.json.encode(
        {
            "user": ucc,
            "auth": sid,
            "format": "native_batch",
            "source": "NEOTRADEAPI",
            "platform": "Web",
            "version": "1.2.3",
            "sdk_version": 2,
            "sdk_date": "2026-08-07T09:41:17.667Z",
            "conn_req_time": at_ms,
            "sessionValidation": False,
        }
    ).decode()


def subscribe(what: str, keys: Sequence[str]) -> str:
    """Ask for packets. ``what`` is a key of ``EVENTS``, ``keys`` are ``segment|token`` (indices by name)."""
    event = f"subscribe{EVENTS[what]}"
    return msgspec.json.encode({"event": event, "inputtoken": ",".join(keys), "ack_symbol": True}).decode()


def unsubscribe(what: str, keys: Sequence[str]) -> str:
    event = f"unsubscribe{EVENTS[what]}"
    return msgspec.json.encode({"event": event, "inputtoken": ",".join(keys)}).decode()


@dataclass(frozen=True, slots=True)
class AuthReply:
    """``dividers``: segment id -> number a raw price is divided by."""

    accepted: bool
    code: int
    dividers: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """``symbols``: ``segment|token`` -> the broker's trading symbol."""

    symbols: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OtherControl:
    """A control message that says nothing a feed has to act on."""

    code: int


def read_control(text: str | bytes) -> AuthReply | Subscribed | OtherControl:
    """A text message of the server.

    Raises:
        WireError: Not a JSON object.
    """
    frame = text.encode() if isinstance(text, str) else text
    try:
        message = msgspec.json.decode(frame)
    except (ValueError, RecursionError) as exc:
        raise WireError(f"control message is not JSON: {exc}", frame) from exc
    if not isinstance(message, dict):
        raise WireError("control message is not an object", frame)
    code = message.get("message_code")
    code = code if isinstance(code, int) else 0
    if code in AUTH_ACCEPTED or code == AUTH_REFUSED:
        # native_fallback is another encoding, which nothing here reads
        accepted = code in AUTH_ACCEPTED and message.get("format") != "native_fallback"
        return AuthReply(accepted, code, _dividers(message.get("exchanges")))
    if code == SUBSCRIBED:
        return Subscribed(_symbols(message))
    return OtherControl(code)


def _dividers(exchanges: Any) -> dict[int, int]:
    found = dict(DIVIDERS)
    if isinstance(exchanges, dict):
        for name, info in exchanges.items():
            if not isinstance(info, dict):
                continue
            number, divider = info.get("value", SEGMENT_IDS.get(name)), info.get("divider", 100)
            if isinstance(number, int) and isinstance(divider, int) and divider > 0:
                found[number] = divider
    return found


def _symbols(message: Mapping[str, Any]) -> dict[str, str]:
    """Both published shapes: a flat map, or ``data`` with an object per key."""
    flat, nested = message.get("trading_symbols"), message.get("data")
    if isinstance(flat, dict):
        return {str(k): str(v) for k, v in flat.items()}
    if isinstance(nested, dict):
        return {str(k): str(v.get("trading_symbols", "")) for k, v in nested.items() if isinstance(v, dict)}
    return {}


# --- the data plane ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Index:
    """Packet 7207. Prices in rupees; ``time_s`` is Unix seconds, 0 when there was none yet."""

    segment: str
    token: str
    name: str
    value: float
    open: float
    high: float
    low: float
    close: float
    change_percent: float
    year_high: float
    year_low: float
    time_s: int
    precision: int
    multiplier: float


@dataclass(frozen=True, slots=True)
class Mini:
    """Level 1: last price only."""

    segment: str
    token: str
    ltp: float
    last_quantity: int
    close: float
    change: float
    change_percent: float
    lot_size: int
    time_s: int
    precision: int
    multiplier: int


class Row(NamedTuple):
    """One price step of a picture; rupees."""

    quantity: int
    price: float
    orders: int


class Picture(NamedTuple):
    """Levels 4, 8 and 16: everything, with ``rows()`` left undecoded until asked for.

    A tuple, because it is the packet of the hot path: as a frozen dataclass of 31 fields decoding took 13 us
    instead of 8.
    """

    segment: str
    token: str
    level: int
    auction: bool
    ltp: float
    open: float
    high: float
    low: float
    close: float
    average_price: float
    last_quantity: int
    volume: int
    total_buy_quantity: int
    total_sell_quantity: int
    oi: int
    turnover: float
    change: float
    change_percent: float
    upper_circuit: float
    lower_circuit: float
    year_high: float
    year_low: float
    lot_size: int
    time_s: int
    updated_s: int
    precision: int
    multiplier: int
    bid_rows: int
    ask_rows: int
    divider: int
    packed_rows: bytes

    def rows(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """Bids and asks, best first; as many as really came, whatever the counts say."""
        divider = self.divider
        rows = [
            Row(quantity, price / divider, orders)
            for quantity, price, orders in _ROW.iter_unpack(self.packed_rows)
        ]
        return tuple(rows[: self.bid_rows]), tuple(rows[self.bid_rows : self.bid_rows + self.ask_rows])

    def depth(self) -> Depth:
        """The same rows as levels."""
        divider, bids = self.divider, self.bid_rows
        levels = [
            Level(price / divider, quantity, orders)
            for quantity, price, orders in _ROW.iter_unpack(self.packed_rows)
        ]
        return Depth(tuple(levels[:bids]), tuple(levels[bids : bids + self.ask_rows]))

    def best(self) -> tuple[Row | None, Row | None]:
        """First bid and first ask without decoding the rest; None for a side without rows."""
        packed, bids, divider = self.packed_rows, self.bid_rows, self.divider
        bid = ask = None
        if bids and len(packed) >= _ROW.size:
            quantity, price, orders = _ROW.unpack_from(packed)
            bid = Row(quantity, price / divider, orders)
        if self.ask_rows and len(packed) >= (bids + 1) * _ROW.size:
            quantity, price, orders = _ROW.unpack_from(packed, bids * _ROW.size)
            ask = Row(quantity, price / divider, orders)
        return bid, ask


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """``code`` 1 open, 2 closed, 3 … 12 the phases between (section 10)."""

    segment: str
    code: int


@dataclass(frozen=True, slots=True)
class ClosingAuction:
    """Prices of the closing auction, rupees."""

    segment: str
    token: str
    reference_price: float
    imbalance: int
    imbalance_at_market: int


Decoded = Index | Mini | Picture | MarketStatus | ClosingAuction


def split(frame: bytes) -> Iterator[bytes]:
    """Cut one message into packets by their length field.

    Raises:
        WireError: A length below the header's, or a torn tail. Packets before it were already yielded.
    """
    at, end = 0, len(frame)
    if end >= HEADER.size and frame[0] | frame[1] << 8 == end:
        # a message is one packet, most of the time
        yield frame
        return
    while at < end:
        size = int.from_bytes(frame[at : at + 2], "little")
        if end - at < HEADER.size or at + size > end:
            raise WireError(f"cut short at byte {at}", frame)
        if size < HEADER.size:
            raise WireError(f"packet length {size} at byte {at} is below the header's", frame)
        yield frame[at : at + size]
        at += size


def decode(packet: bytes, dividers: Mapping[int, int]) -> Decoded | None:
    """One packet; None for a closing-auction packet that says nothing (all zero).

    Raises:
        WireError: Unknown code and level, or the body is shorter than its kind.
    """
    _, code, segment_id, level, auction, _, _ = HEADER.unpack_from(packet)
    segment = SEGMENTS.get(segment_id, str(segment_id))
    divider = dividers.get(segment_id) or 100
    try:
        if code == 7207:
            return _index(packet, segment, divider)
        if code in (6511, 6521):
            return MarketStatus(segment, 1 if code == 6511 else 2)
        if code == 105:
            return MarketStatus(segment, _STATUS.unpack_from(packet, HEADER.size)[0])
        if code == 104:
            return _auction(packet, segment, divider)
        if level == LITE:
            return _mini(packet, segment, divider)
        if level in (2, TOUCH, DEPTH, FULL_DEPTH):
            return _picture(packet, segment, divider, level, auction > 0)
    except struct.error as exc:
        raise WireError(f"packet {code} level {level} ends after {len(packet)} bytes", packet) from exc
    raise WireError(f"unknown packet code {code} level {level}", packet)


def _index(packet: bytes, segment: str, divider: int) -> Index:
    # fmt: off
    (token, opened, close, high, low, value, time_s, year_high, year_low, percent, _cap,
     precision, mul, name) = _INDEX.unpack_from(packet, HEADER.size)
    # fmt: on
    return Index(
        segment=segment,
        token=str(token),
        name=name.split(b"\0", 1)[0].decode("utf-8", "replace").strip(),
        value=value / divider,
        open=opened / divider,
        high=high / divider,
        low=low / divider,
        close=close / divider,
        change_percent=percent / 100,
        year_high=year_high / divider,
        year_low=year_low / divider,
        time_s=time_s,
        precision=precision,
        multiplier=mul / divider,
    )


def _mini(packet: bytes, segment: str, divider: int) -> Mini:
    token, time_s, ltp, quantity, close, percent, change, lot, precision, multiplier = _MINI.unpack_from(
        packet, HEADER.size
    )
    # one document calls this close unscaled; the SDK scales it, and so do the vectors
    return Mini(
        segment=segment,
        token=str(token),
        ltp=ltp / divider,
        last_quantity=quantity,
        close=close / divider,
        change=change / divider,
        change_percent=percent / 100,
        lot_size=lot,
        time_s=max(0, time_s),
        precision=precision,
        multiplier=multiplier,
    )


def _picture(packet: bytes, segment: str, divider: int, level: int, auction: bool) -> Picture:
    # fmt: off
    (token, buy, sell, volume, time_s, updated_s, opened, close, high, low, ltp, quantity, average,
     _indicative, bid_rows, ask_rows, _trading, percent, oi, turnover, change, upper, lower, year_high,
     year_low, lot, precision, multiplier) = _PICTURE.unpack_from(packet, HEADER.size)
    # fmt: on
    if level == TOUCH:
        # a touch line carries one row a side whatever its counts say
        bid_rows = ask_rows = 1
    whole = (len(packet) - _ROWS_AT) // _ROW.size
    # by position: 31 keywords cost a microsecond more
    return Picture(
        segment,
        str(token),
        level,
        auction,
        ltp / divider,
        opened / divider,
        high / divider,
        low / divider,
        close / divider,
        average / divider,
        quantity,
        volume,
        buy,
        sell,
        oi,
        turnover / divider,
        change / divider,
        percent / 100,
        upper / divider,
        lower / divider,
        year_high / divider,
        year_low / divider,
        lot,
        # an instrument never updated carries 1900-01-01 as a negative number
        time_s if time_s > 0 else 0,
        updated_s if updated_s > 0 else 0,
        precision,
        multiplier,
        bid_rows,
        ask_rows,
        divider,
        packet[_ROWS_AT : _ROWS_AT + min(whole, bid_rows + ask_rows) * _ROW.size],
    )


def _auction(packet: bytes, segment: str, divider: int) -> ClosingAuction | None:
    token, price, imbalance, at_market = _AUCTION.unpack_from(packet, HEADER.size)
    if not (price or imbalance or at_market):
        return None
    return ClosingAuction(segment, str(token), price / divider, imbalance, at_market)
