"""A history answer of Zenith, as it came over the wire -> candles. Pure: the store decodes with it."""

from __future__ import annotations

from datetime import date

from brokers.zenith.mapping import errors

from brokers.candles import DAY_S, IST_OFFSET_S, within
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
    data, daily = errors.parse(body), interval == "D"
    if errors.read(data).code == errors.NO_DATA:
        return []
    try:
        found = [
            Candle(_stamp(int(at), daily), float(o), float(h), float(low), float(c), int(v), int(oi))
            for at, o, h, low, c, v, oi in data["candles"]
        ]
    except (KeyError, TypeError, ValueError) as exc:
        raise WireError("candles that cannot be read", body[:500]) from exc
    return within(found, start, end, daily=daily)


def _stamp(at_s: int, daily: bool) -> int:
    """A daily bar is stamped with its session's opening and becomes 00:00 UTC of its trading date."""
    return (at_s + IST_OFFSET_S) // DAY_S * DAY_S if daily else at_s


def says_empty(status: int, body: bytes) -> bool:
    """Whether a refusal means that there are no candles."""
    return status == 404 and errors.read(errors.parse(body)).code == errors.NO_DATA
