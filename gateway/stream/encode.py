"""Ticks -> OpenAlgo's JSON, once per tick and mode: the same bytes serve the bus and every WebSocket client.

Field names and both spellings follow openalgo-api section 4 and its Rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from brokers.model import Instrument, Level, Mode, Tick
from gateway.stream.topics import Name

_encode = msgspec.json.Encoder().encode
_TEXT_FRAME = 0x81  # FIN + text, RFC 6455 section 5.2
LABELS = {Mode.LTP: "LTP", Mode.QUOTE: "Quote", Mode.DEPTH: "Depth"}


class Grid:
    """Rounds feed prices of one instrument.

    A broker may send prices as 32-bit floats, which cannot hold 150000.15; the tick grid restores what was
    meant. Averages are not on the grid and keep the decimals of the tick (two at least). An instrument that
    cannot be traded (tick 0, indices) keeps four decimals below 1,000 and two above: what a 32-bit float
    holds.
    """

    __slots__ = ("_den", "_num", "decimals")

    def __init__(self, instrument: Instrument) -> None:
        self._num, self._den = instrument.tick_size.as_integer_ratio()
        exponent = instrument.tick_size.normalize().as_tuple().exponent
        self.decimals = max(2, -exponent) if isinstance(exponent, int) else 2

    def price(self, value: float) -> float:
        """Nearest multiple of the tick, as the float whose shortest text is that decimal.

        Raises:
            ValueError, OverflowError: The broker sent NaN or infinity.
        """
        num = self._num
        if num == 1:
            return round(value * self._den) / self._den
        if num == 0:
            return float_of(round(value, 4 if -1000.0 < value < 1000.0 else 2))
        return round(value * self._den / num) * num / self._den

    def average(self, value: float) -> float:
        return float_of(round(value, self.decimals))

    def close(self, value: float) -> float:
        """A previous close: on the grid if it can be, but the grid of another day may have been finer."""
        near = self.price(value)
        return near if abs(near - value) <= abs(value) * 2**-23 else self.average(value)


def float_of(value: float) -> float:
    """The value itself; raises ``ValueError`` for NaN and infinity, which JSON has no word for."""
    if value - value != 0.0:
        raise ValueError(f"a price is {value}")
    return value


class Coder:
    """Everything about one channel (exchange, symbol, mode) that does not change from tick to tick."""

    __slots__ = ("_after", "_before", "_grid", "_head", "_mode")

    def __init__(self, name: Name, instrument: Instrument, broker: str) -> None:
        self._mode = name.mode
        self._grid = Grid(instrument)
        self._head = {"symbol": name.symbol, "exchange": name.exchange, "mode": name.mode.name.lower()}
        envelope = {
            "type": "market_data",
            "symbol": name.symbol,
            "exchange": name.exchange,
            "mode": int(name.mode),
        }
        self._before = _encode(envelope)[:-1] + b',"data":'
        self._after = b',"broker":' + _encode(broker) + b"}"

    def payload(self, tick: Tick, seq: int) -> bytes:
        """The ``data`` object: what the bus carries.

        Args:
            seq: Sequence number of this channel, 1 for its first tick.

        Raises:
            ValueError, OverflowError: A price is not a number; the tick must not go out.
        """
        price = self._grid.price
        ltp = price(tick.ltp)
        data: dict[str, Any] = {**self._head, "ltp": ltp}
        if tick.last_trade_ms is not None:
            data["ltt"] = tick.last_trade_ms
        data["timestamp"] = tick.received_ns // 1_000_000
        data["seq"] = seq
        if self._mode is not Mode.LTP:
            self._quote(data, tick, ltp)
            if self._mode is Mode.DEPTH:
                self._depth(data, tick)
        return _encode(data)

    def frame(self, payload: bytes) -> bytes:
        """A whole unmasked WebSocket text frame around ``payload``, ready for any client's transport."""
        return text_frame(b"".join((self._before, payload, self._after)))

    def _quote(self, data: dict[str, Any], tick: Tick, ltp: float) -> None:
        grid = self._grid
        price = grid.price
        close = grid.close(tick.prev_close) if tick.prev_close else 0.0
        average = grid.average(tick.average_price) if tick.average_price else 0.0
        change = round(ltp - close, grid.decimals) if close else 0.0
        quantity, oi = tick.last_quantity or 0, tick.oi or 0
        data["open"] = price(tick.open) if tick.open else 0.0
        data["high"] = price(tick.high) if tick.high else 0.0
        data["low"] = price(tick.low) if tick.low else 0.0
        data["close"] = close
        data["volume"] = tick.volume or 0
        data["last_quantity"] = data["last_trade_quantity"] = quantity
        data["average_price"] = data["avg_trade_price"] = average
        data["total_buy_quantity"] = tick.total_buy_quantity or 0
        data["total_sell_quantity"] = tick.total_sell_quantity or 0
        data["oi"] = data["open_interest"] = oi
        data["change"] = change
        data["change_percent"] = round(100.0 * change / close, 2) if close else 0.0
        data["bid"] = bid = price(tick.bid) if tick.bid else 0.0
        data["ask"] = ask = price(tick.ask) if tick.ask else 0.0
        data["bid_quantity"] = tick.bid_quantity or 0
        data["ask_quantity"] = tick.ask_quantity or 0
        # null, not zero: a missing side has no spread, and no total is not a balance
        if bid and ask:
            data["spread"] = round(ask - bid, grid.decimals)
            data["mid"] = round((bid + ask) / 2, grid.decimals + 1)
        else:
            data["spread"] = data["mid"] = None
        totals = tick.total_buy_quantity, tick.total_sell_quantity
        data["imbalance"] = None if totals[0] is None or totals[1] is None else totals[0] - totals[1]
        if tick.oi_day_high is not None:
            data["oi_day_high"] = tick.oi_day_high
            data["oi_day_low"] = tick.oi_day_low

    def _depth(self, data: dict[str, Any], tick: Tick) -> None:
        book = tick.depth() if tick.depth is not None else None
        buy = self._side(book.bids) if book else []
        sell = self._side(book.asks) if book else []
        data["depth"] = {"buy": buy, "sell": sell}
        data["depth_level"] = max(len(buy), len(sell))

    def _side(self, levels: Iterable[Level]) -> list[dict[str, Any]]:
        price = self._grid.price
        return [{"price": price(p), "quantity": quantity, "orders": orders} for p, quantity, orders in levels]


def text_frame(body: bytes) -> bytes:
    """One unfragmented, unmasked text frame, as a server sends it (RFC 6455 section 5.2)."""
    size = len(body)
    if size < 126:
        return bytes((_TEXT_FRAME, size)) + body
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + body
    return b"\x81\x7f" + size.to_bytes(8, "big") + body
