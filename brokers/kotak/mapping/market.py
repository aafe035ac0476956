"""Quotes and candles in our words.

Source: kotak-wire.md sections 2.7 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from brokers import candles as dates
from brokers.clock import IST
from brokers.errors import WireError
from brokers.kotak.mapping import words
from brokers.model import Candle, Depth, Instrument, Level, Quote

DAYS_PER_CALL: Mapping[str, int] = {
    "1min": 30,
    "3min": 30,
    "5min": 30,
    "10min": 60,
    "15min": 60,
    "30min": 90,
    "60min": 90,
    "D": 180,
    "W": 180,
}
YEARS_BACK = 5
DAILY = frozenset({"D", "W"})
_NOTHING = ("no data", "not yet open", "not open", "no candle")


def wire_key(instrument: Instrument) -> str:
    """``segment|token`` as quotes, history and both feeds want it; indices go by their exact name."""
    return f"{instrument.broker_exchange}|{instrument.feed_token or instrument.token}"


def quote(row: Mapping[str, Any], instrument: Instrument) -> Quote:
    """One row of a quotes answer.

    Raises:
        WireError: A number that cannot be read.
    """
    ohlc = row.get("ohlc")
    ohlc = ohlc if isinstance(ohlc, dict) else {}
    raw = row.get("depth")
    depth = _depth(raw) if isinstance(raw, dict) else None
    bid = depth.bids[0] if depth and depth.bids else Level(0.0, 0, 0)
    ask = depth.asks[0] if depth and depth.asks else Level(0.0, 0, 0)

    def rupees(name: str) -> float:
        return float(words.money(row.get(name)))

    return Quote(
        key=instrument.key,
        ltp=rupees("ltp"),
        open=float(words.money(ohlc.get("open"))),
        high=float(words.money(ohlc.get("high"))),
        low=float(words.money(ohlc.get("low"))),
        prev_close=float(words.money(ohlc.get("close"))),
        volume=words.count(row.get("last_volume")),
        oi=words.count(row.get("open_int")),
        bid=bid.price,
        ask=ask.price,
        bid_quantity=bid.quantity,
        ask_quantity=ask.quantity,
        last_quantity=words.count(row.get("last_traded_quantity")),
        average_price=rupees("avg_cost"),
        total_buy_quantity=words.count(row.get("total_buy")),
        total_sell_quantity=words.count(row.get("total_sell")),
        lower_circuit=rupees("low_price_range"),
        upper_circuit=rupees("high_price_range"),
        last_trade_ms=_epoch_ms(words.field(row, "lstup_time")),
        depth=depth,
    )


def _epoch_ms(text: str) -> int | None:
    """``lstup_time`` as epoch seconds or as IST wall time; its form is not documented."""
    if text.isascii() and text.isdigit():
        number = int(text)
        return (number if number > 10**11 else number * 1000) or None
    at = words.time_of(text)
    return None if at is None else int(at.timestamp() * 1000)


def _depth(raw: Mapping[str, Any]) -> Depth:
    def side(name: str) -> tuple[Level, ...]:
        rows = raw.get(name)
        return tuple(
            Level(
                float(words.money(level.get("price"))),
                words.count(level.get("quantity")),
                words.count(level.get("orders")),
            )
            for level in (rows if isinstance(rows, list) else ())
            if isinstance(level, dict)
        )

    return Depth(side("buy"), side("sell"))


def chunks(start: date, end: date, interval: str, today: date) -> Iterator[tuple[date, date]]:
    """Date ranges of one call each, both ends inclusive, clamped to what Kotak keeps (5 years less a day)."""
    try:
        oldest = today.replace(year=today.year - YEARS_BACK) + timedelta(days=1)
    except ValueError:  # 29 February
        oldest = date(today.year - YEARS_BACK, 3, 1) + timedelta(days=1)
    return dates.chunks(max(start, oldest), end, DAYS_PER_CALL[interval])


def candles(payload: Mapping[str, Any], interval: str) -> list[Candle]:
    """The rows of a history answer, in the order sent.

    A daily or weekly bar is stamped 09:15 by the broker for today and 00:00 otherwise; here all carry the
    trading date at 00:00 UTC. Rows whose open or close lies outside high and low are widened, and a negative
    volume is 0: both were seen, and both are the broker's slips, not the market's.

    Raises:
        WireError: Not the documented shape.
    """
    data = payload.get("data")
    rows = data.get("candles") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise WireError("history answer without data.candles")
    return [_candle(row, interval in DAILY) for row in rows]


def _candle(row: Any, daily: bool) -> Candle:
    if not isinstance(row, list) or len(row) < 6:
        raise WireError(f"candle row is not [time, o, h, l, c, v, oi]: {str(row)[:80]}")
    try:
        at = datetime.fromisoformat(str(row[0]))
    except ValueError as exc:
        raise WireError(f"candle time cannot be read: {str(row[0])[:40]!r}") from exc
    at = at if at.tzinfo else at.replace(tzinfo=IST)
    if daily:
        at = datetime.combine(at.astimezone(IST).date(), time(0), UTC)
    opened, high, low, close = (float(words.money(v)) for v in row[1:5])
    return Candle(
        opened_at_s=int(at.timestamp()),
        open=opened,
        high=max(opened, high, low, close),
        low=min(opened, high, low, close),
        close=close,
        volume=max(0, words.count(row[5])),
        oi=max(0, words.count(row[6])) if len(row) > 6 else 0,
    )


def means_no_data(message: str) -> bool:
    """Whether a history fault says "nothing there".

    The broker gives the same code for this and for real faults, so the text is all there is to go by.
    """
    lowered = message.lower()
    return any(text in lowered for text in _NOTHING)
