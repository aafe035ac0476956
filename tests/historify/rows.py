"""Bars for tests: any number, at any time, worth any price."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime

from historify.model import Bars, Provenance, Series

FROM_BROKER = Provenance("dhan", 1_700_000_000, job=7)
SBIN = Series("NSE", "SBIN", "1m")


def at(text: str) -> int:
    """Epoch seconds of a UTC time like ``2025-03-04 09:15``."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def bars(start: int | str, count: int, *, step: int = 60, price: float = 100.0) -> Bars:
    """``count`` bars, all of one price, from a time on."""
    begin = at(start) if isinstance(start, str) else start
    prices = array("d", [price]) * count
    ts = array("q", range(begin, begin + count * step, step))
    return Bars(ts, prices, prices, prices, prices, array("q", range(count)), array("q", [0]) * count)
