"""A history answer of Dhan, as it came over the wire -> candles. Pure: the store decodes with it.

Source: Dhan API v2, "Historical Data".
"""

from __future__ import annotations

import json
from datetime import date

from brokers.dhan.mapping import errors, market
from brokers.errors import WireError
from brokers.model import Candle


def candles(body: bytes, interval: str, start: date, end: date) -> list[Candle]:
    """Ascending, one for each time, within [start, end] (IST dates, inclusive).

    Args:
        body: A 2xx answer, or the refusal that says "no data" (``says_empty``).
        interval: Ours, ``1m`` or ``D``.

    Raises:
        WireError: Not a candle answer.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise WireError("Dhan's candle answer is not JSON", body[:500]) from exc
    if errors.read(data).code == errors.NO_DATA:
        return []
    if not isinstance(data, dict) or errors.read(data).code:
        raise WireError("Dhan's answer holds no candles", body[:500])
    return market.candles(data, interval == "D", start, end)


def says_empty(status: int, body: bytes) -> bool:
    """Whether a refusal means that there are no candles: a holiday, or an instrument without history."""
    return status == 400 and errors.read(errors.parse(body)).code == errors.NO_DATA
