"""Zenith's quotes <-> ours, books of five levels, and the address of a history call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from brokers.errors import WireError
from brokers.model import Depth, Instrument, InstrumentKey, Level, Quote


def quote_body(instruments: Sequence[Instrument]) -> dict[str, object]:
    """JSON of one quote call, at most ``quote_batch`` instruments."""
    return {"instruments": [[one.broker_exchange, one.token] for one in instruments]}


def depth(row: Mapping[str, Any]) -> Depth:
    """Levels of ``b`` and ``s``, best first. Rupees."""
    bids, asks = (tuple(Level(float(p), int(q), int(n)) for p, q, n in row[side]) for side in ("b", "s"))
    return Depth(bids, asks)


def quotes(data: Any, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
    """What the answer knows of those asked for; the others are missing. Raises ``WireError``."""
    asked = {(one.broker_exchange, one.token): one.key for one in instruments}
    try:
        rows = [(asked.get((row["x"], row["t"])), row) for row in data["quotes"]]
        return {key: _quote(key, row) for key, row in rows if key is not None}
    except (KeyError, TypeError, ValueError) as exc:
        raise WireError("quote that cannot be read") from exc


def _quote(key: InstrumentKey, row: Mapping[str, Any]) -> Quote:
    book = depth(row)
    bid = book.bids[0] if book.bids else Level(0.0, 0, 0)
    ask = book.asks[0] if book.asks else Level(0.0, 0, 0)
    return Quote(
        key=key,
        ltp=float(row["p"]),
        open=float(row["o"]),
        high=float(row["h"]),
        low=float(row["l"]),
        prev_close=float(row["c"]),
        volume=int(row["v"]),
        oi=int(row["oi"]),
        bid=bid.price,
        ask=ask.price,
        bid_quantity=bid.quantity,
        ask_quantity=ask.quantity,
        last_quantity=int(row["q"]),
        average_price=float(row["a"]),
        total_buy_quantity=int(row["tb"]),
        total_sell_quantity=int(row["ts"]),
        last_trade_ms=int(row["at"]),
        depth=book,
    )


def history_path(instrument: Instrument, word: str, start: date, end: date) -> str:
    """Path and query of one history call, both dates inclusive."""
    names = {"segment": instrument.broker_exchange, "token": instrument.token, "interval": word}
    return f"/history?{urlencode({**names, 'from': start.isoformat(), 'to': end.isoformat()})}"
