"""Packets of one instrument -> ticks that carry everything known so far. Pure.

Source: Dhan API v2, Live Market Feed; what day close and the index packets mean is users' measurement.
"""

from __future__ import annotations

from functools import partial

from brokers.candles import DAY_S, IST_OFFSET_S
from brokers.dhan.wire import market as wire
from brokers.model import INDEX_EXCHANGES, Instrument, Mode, Tick

_YEAR_2000 = 946_684_800


def trade_time_ms(raw: int) -> int | None:
    """Dhan writes IST wall clock as an epoch. 0 and 1980 mean "no trade"."""
    return (raw - IST_OFFSET_S) * 1000 if raw >= _YEAR_2000 else None


def _finite(price: float) -> bool:
    return price - price == 0.0


class State:
    """What is known about one subscribed instrument.

    Args:
        mode: The mode wanted. Index instruments get ticker and previous-close packets whatever was asked, so
            their ticks serve the wanted mode with what there is.
    """

    __slots__ = (
        "_ask",
        "_ask_quantity",
        "_bid",
        "_bid_quantity",
        "_day_from_ns",
        "_day_to_ns",
        "_depth_raw",
        "_is_index",
        "_ltp",
        "_mode",
        "_oi",
        "_oi_high",
        "_oi_low",
        "_prev_close",
        "_prev_sure",
        "_quote",
        "_trade_ms",
        "instrument",
        "wanted",
    )

    def __init__(self, instrument: Instrument, mode: Mode) -> None:
        self.instrument = instrument
        self.wanted = mode
        self._is_index = instrument.key.exchange in INDEX_EXCHANGES
        self._mode = mode if self._is_index else Mode.LTP
        self._ltp: float | None = None
        self._trade_ms: int | None = None
        self._prev_close: float | None = None
        self._day_from_ns = self._day_to_ns = 0
        self._prev_sure = False
        self._forget_richer()

    def _forget_richer(self) -> None:
        self._quote: wire.QuotePacket | wire.FullPacket | None = None
        self._oi: int | None = None
        self._oi_high: int | None = None
        self._oi_low: int | None = None
        self._depth_raw: bytes | None = None
        self._bid: float | None = None
        self._ask: float | None = None
        self._bid_quantity: int | None = None
        self._ask_quantity: int | None = None

    def want(self, mode: Mode) -> None:
        """Another mode. Going down forgets what would no longer be kept fresh."""
        if mode < self.wanted:
            self._forget_richer()
        self.wanted = mode
        self._mode = mode if self._is_index else min(self._mode, mode)

    def apply(self, packet: wire.Packet, received_ns: int, session_open: bool) -> Tick | None:
        """Take in one packet.

        Args:
            session_open: The exchange is in session now; only then is "day close" the previous close.

        Returns:
            None while no last price is known, and for packets that carry nothing.
        """
        if session_open and not self._day_from_ns <= received_ns < self._day_to_ns:
            # a socket that lives over midnight must not show the day before yesterday's close
            self._prev_close, self._prev_sure = None, False
            self._set_day(received_ns)
        if isinstance(packet, wire.FullPacket):
            self._take_quote(packet, session_open)
            self._oi, self._oi_high, self._oi_low = packet.oi, packet.oi_day_high, packet.oi_day_low
            self._take_depth(packet.depth_raw)
        elif isinstance(packet, wire.Ticker):
            self._price(packet.ltp, packet.ltt_raw)
        elif isinstance(packet, wire.QuotePacket):
            self._take_quote(packet, session_open)
            if self._mode is Mode.LTP:
                self._mode = Mode.QUOTE
        elif isinstance(packet, wire.OpenInterest):
            self._oi = packet.oi
        elif isinstance(packet, wire.PrevClose):
            if packet.prev_close and _finite(packet.prev_close):
                self._prev_close, self._prev_sure = packet.prev_close, True
                self._set_day(received_ns)
        elif isinstance(packet, wire.V1Depth):
            self._price(packet.ltp, 0)
            self._take_depth(packet.depth_raw)
        else:
            return None
        return self._tick(received_ns)

    def _set_day(self, at_ns: int) -> None:
        """The IST day for which the previous close is known."""
        day = (at_ns // 1_000_000_000 + IST_OFFSET_S) // DAY_S
        self._day_from_ns = (day * DAY_S - IST_OFFSET_S) * 1_000_000_000
        self._day_to_ns = self._day_from_ns + DAY_S * 1_000_000_000

    def _price(self, ltp: float, ltt_raw: int) -> None:
        if ltp - ltp == 0.0:
            self._ltp = ltp
            self._trade_ms = trade_time_ms(ltt_raw) or self._trade_ms

    def _take_quote(self, packet: wire.QuotePacket | wire.FullPacket, session_open: bool) -> None:
        self._price(packet.ltp, packet.ltt_raw)
        prices = packet.atp + packet.day_open + packet.day_close + packet.day_high + packet.day_low
        if prices - prices != 0.0:
            return  # one broken price: the numbers known before stay
        self._quote = packet
        if session_open and not self._prev_sure and packet.day_close:
            self._prev_close = packet.day_close

    def _take_depth(self, raw: bytes) -> None:
        self._depth_raw = raw
        self._mode = Mode.DEPTH
        bid_quantity, ask_quantity, _, _, bid, ask = wire.top5(raw)
        if bid or bid_quantity:
            self._bid, self._bid_quantity = bid, bid_quantity
        else:
            self._bid = self._bid_quantity = None
        if ask or ask_quantity:
            self._ask, self._ask_quantity = ask, ask_quantity
        else:
            self._ask = self._ask_quantity = None

    def _tick(self, received_ns: int) -> Tick | None:
        if self._ltp is None:
            return None
        quote, raw = self._quote, self._depth_raw
        depth = partial(wire.depth5, raw) if raw is not None else None
        return Tick(
            self.instrument.key,
            self._mode,
            received_ns,
            self._ltp,
            self._trade_ms,
            quote.ltq if quote else None,
            quote.atp if quote else None,
            quote.volume if quote else None,
            quote.total_buy_qty if quote else None,
            quote.total_sell_qty if quote else None,
            quote.day_open if quote else None,
            quote.day_high if quote else None,
            quote.day_low if quote else None,
            self._prev_close,
            self._oi,
            self._oi_high,
            self._oi_low,
            self._bid,
            self._ask,
            self._bid_quantity,
            self._ask_quantity,
            depth,
        )
