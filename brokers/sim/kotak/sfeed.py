"""SFeed on the server's side: JSON control plane, little-endian packed packets.

Bytes and values only. Prices are integers in the exchange's divider (100: paise); percentages in hundredths.

Source: PyPI ``kotakneoapi`` 3.0.9, ``websocket/feed/protocol.py`` and ``client.py``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from brokers.sim.exchange.types import BookLevel, Snapshot
from brokers.sim.kotak.hsm import year_range
from brokers.sim.kotak.names import SFEED_ID, decimals, index_name, segment

HEADER = struct.Struct("<HHbBBBB")  # length, code, exchange, level, auction, sequence, bitmask length
INDEX = struct.Struct("<IiiiiiQiiidBi21s")
MINI = struct.Struct("<IqIqIiiIBI")
PICTURE = struct.Struct("<IqqqqqIIIIIqIIIIhiIdiIIIIIBI")
ROW = struct.Struct("<qii")
STATUS = struct.Struct("<H5s")
CLOSING = struct.Struct("<IIqq")

CODE_PICTURE = 7208
CODE_INDEX = 7207
CODE_STATUS = 105
CODE_CLOSING = 104
CODE_OPEN = 6511
CODE_CLOSE = 6521

DIVIDER = {"nse_com": 10_000, "bse_co": 10_000, "cde_fo": 10_000_000, "bse_cd": 10_000_000, "ncd_co": 1}
"""Segments that do not divide by 100."""
ANNOUNCED = ("nse_cm", "nse_fo", "cde_fo", "bse_cm", "bse_fo", "mcx_fo")
MAX_TOKENS = 3000

AUTH_OK, AUTH_OK_PRODUCTION, AUTH_REFUSED, SUBSCRIBED = 1117, 1119, 1120, 1109


class Level(IntEnum):
    """Depth of a packet, as its header numbers it."""

    INDEX = 0
    MINI = 1
    TOUCH = 4
    DEPTH = 8
    FULL = 16


EVENTS = {
    "Scrips": Level.TOUCH,
    "ScripsLite": Level.MINI,
    "Depth": Level.DEPTH,
    "FullDepth": Level.FULL,
    "Indices": Level.INDEX,
}
ROWS_OF = {Level.TOUCH: 1, Level.DEPTH: 5, Level.FULL: 20}


@dataclass(frozen=True, slots=True)
class Picture:
    """What a market picture says, in units of the segment's divider; ``bids`` and ``asks`` best first."""

    segment: str
    token: int
    open: int
    high: int
    low: int
    close: int
    ltp: int
    average: int
    last_quantity: int
    volume: int
    total_buy: int
    total_sell: int
    open_interest: int
    last_trade_s: int
    updated_s: int
    upper_circuit: int
    lower_circuit: int
    year_high: int
    year_low: int
    turnover: float
    lot: int
    precision: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    multiplier: int = 1


def divider(seg: str) -> int:
    return DIVIDER.get(seg, 100)


def percent(change: int, close: int) -> int:
    """Hundredths of a percent, rounded half away from zero; 0 without a close."""
    if not close:
        return 0
    size = (abs(change) * 20_000 + close) // (2 * close)
    return size if change >= 0 else -size


def auth_reply(code: int = AUTH_OK) -> str:
    """1117 (documented) or 1119 (production); carries id and divider of every segment."""
    exchanges = {seg: {"value": SFEED_ID[seg], "divider": divider(seg)} for seg in ANNOUNCED}
    return json.dumps({"message_code": code, "format": "native_batch", "exchanges": exchanges})


def auth_refused(message: str = "Authentication failed") -> str:
    return json.dumps({"message_code": AUTH_REFUSED, "message": message})


def subscribe_ack(symbols: Mapping[str, str]) -> str:
    """Key -> trading symbol, in the form the SDK reads and the one the documentation shows."""
    return json.dumps(
        {
            "message_code": SUBSCRIBED,
            "trading_symbols": dict(symbols),
            "data": {key: {"cas_status": 0, "trading_symbols": symbol} for key, symbol in symbols.items()},
        }
    )


def _packet(code: int, seg: str, level: int, body: bytes, sequence: int) -> bytes:
    head = HEADER.pack(HEADER.size + len(body), code, SFEED_ID[seg], level, 0, sequence & 0xFF, 0)
    return head + body


def index_packet(picture: Picture, name: str, *, sequence: int = 1) -> bytes:
    """Code 7207, 87 bytes. The name is cut to 21 bytes; the multiplier is in the divider's unit."""
    p = picture
    body = INDEX.pack(
        p.token,
        p.open,
        p.close,
        p.high,
        p.low,
        p.ltp,
        p.updated_s,
        p.year_high,
        p.year_low,
        percent(p.ltp - p.close, p.close),
        0.0,
        p.precision,
        divider(p.segment) * p.multiplier,
        name.encode()[:21],
    )
    return _packet(CODE_INDEX, p.segment, 4, body, sequence)


def mini_packet(picture: Picture, *, sequence: int = 1) -> bytes:
    """Level 1, 54 bytes."""
    p = picture
    change = p.ltp - p.close
    body = MINI.pack(
        p.token,
        p.last_trade_s,
        p.ltp,
        p.last_quantity,
        p.close,
        percent(change, p.close),
        change,
        p.lot,
        p.precision,
        p.multiplier,
    )
    return _packet(CODE_PICTURE, p.segment, Level.MINI, body, sequence)


def picture_packet(picture: Picture, level: Level, *, sequence: int = 1) -> bytes:
    """Levels 4, 8 and 16: 144 bytes and 16 per row, bids first; level 4 has exactly one row a side."""
    p, change = picture, picture.ltp - picture.close
    bids, asks = p.bids[: ROWS_OF[level]], p.asks[: ROWS_OF[level]]
    if level is Level.TOUCH:
        bids, asks = bids or (BookLevel(0, 0, 0),), asks or (BookLevel(0, 0, 0),)
    body = PICTURE.pack(
        p.token,
        p.total_buy,
        p.total_sell,
        p.volume,
        p.last_trade_s,
        p.updated_s,
        p.open,
        p.close,
        p.high,
        p.low,
        p.ltp,
        p.last_quantity,
        p.average,
        0,
        len(bids),
        len(asks),
        0,
        percent(change, p.close),
        p.open_interest,
        p.turnover,
        change,
        p.upper_circuit,
        p.lower_circuit,
        p.year_high,
        p.year_low,
        p.lot,
        p.precision,
        p.multiplier,
    )
    rows = b"".join(ROW.pack(r.quantity, r.price_paise, r.orders) for r in (*bids, *asks))
    return _packet(CODE_PICTURE, p.segment, level, body + rows, sequence)


def status_packet(seg: str, code: int, text: str, *, sequence: int = 1) -> bytes:
    """Code 105, 16 bytes: 1 open, 2 close, … 12."""
    return _packet(CODE_STATUS, seg, 0, STATUS.pack(code, text.encode()[:5]), sequence)


def bare_packet(code: int, seg: str, *, sequence: int = 1) -> bytes:
    """6511 market open, 6521 market close: a header and nothing else."""
    return _packet(code, seg, 0, b"", sequence)


def closing_packet(
    seg: str, token: int, reference: int, imbalance: int, at_market: int, *, sequence: int = 1
) -> bytes:
    """Code 104, the closing auction of one instrument (33 bytes)."""
    return _packet(CODE_CLOSING, seg, 4, CLOSING.pack(token, reference, imbalance, at_market), sequence)


def from_snapshot(snapshot: Snapshot) -> Picture:
    """A market picture of the simulated exchange; paise become units of the segment's divider."""
    s, listing = snapshot, snapshot.listing
    seg = segment(listing)
    unit = divider(seg) // 100
    year_high, year_low = year_range(s)
    return Picture(
        segment=seg,
        token=listing.token,
        open=s.open_paise * unit,
        high=s.high_paise * unit,
        low=s.low_paise * unit,
        close=s.prev_close_paise * unit,
        ltp=s.ltp_paise * unit,
        average=s.average_paise * unit,
        last_quantity=s.last_quantity,
        volume=s.volume,
        total_buy=s.total_buy,
        total_sell=s.total_sell,
        open_interest=s.oi & 0xFFFFFFFF,
        last_trade_s=int(s.last_trade_at.timestamp()),
        updated_s=int(s.at.timestamp()),
        upper_circuit=s.upper_circuit_paise * unit,
        lower_circuit=s.lower_circuit_paise * unit,
        year_high=year_high * unit,
        year_low=year_low * unit,
        turnover=float(s.average_paise * unit * s.volume),
        lot=listing.lot_size,
        precision=decimals(listing),
        bids=_rows(s.bids, unit),
        asks=_rows(s.asks, unit),
    )


def _rows(levels: Sequence[BookLevel], unit: int) -> tuple[BookLevel, ...]:
    return tuple(BookLevel(level.price_paise * unit, level.quantity, level.orders) for level in levels)


def packet(snapshot: Snapshot, level: Level, *, sequence: int = 1) -> bytes:
    """The packet a subscription of that level wants for one market snapshot."""
    picture = from_snapshot(snapshot)
    if level is Level.INDEX:
        return index_packet(picture, index_name(snapshot.listing), sequence=sequence)
    if level is Level.MINI:
        return mini_packet(picture, sequence=sequence)
    return picture_packet(picture, level, sequence=sequence)
