"""A history answer of Kotak, as it came over the wire -> candles. Pure: the store decodes with it.

Source: kotak-wire.md section 7.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from brokers.candles import within
from brokers.errors import WireError
from brokers.kotak.mapping import errors, market
from brokers.model import Candle


def candles(body: bytes, interval: str, start: date, end: date) -> list[Candle]:
    """Ascending, one for each time, within [start, end] (IST dates, inclusive).

    Args:
        body: A 2xx answer, or the fault that says "no data" (``says_empty``).
        interval: Ours, ``1m`` or ``D``.

    Raises:
        WireError: Not a candle answer.
    """
    try:
        data = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError) as exc:
        raise WireError("Kotak's candle answer is not JSON", body[:500]) from exc
    if not isinstance(data, dict):
        raise WireError("history answer is not an object", body[:500])
    if market.means_no_data(errors.read(data).message):
        return []
    return within(market.candles(data, interval), start, end, daily=interval == "D")


def says_empty(status: int, body: bytes) -> bool:
    """Whether a fault means that there are no candles. All faults have one code: the text decides."""
    if status != 400:
        return False
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return market.means_no_data(errors.read(data).message)
