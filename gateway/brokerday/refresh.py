"""Pure: when the instrument table is of an earlier trading day, and must be loaded anew.

The cut-off lies before every open, so the one load of a day falls outside market hours; on days without
trading there is none. One that fails is tried again, into the session if need be: yesterday's lot sizes and
tokens are worse than a download beside trading.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time

from brokers.calendar import Calendar
from gateway.brokerday.hours import trading_day_start

CUT_OFF = time(8, 0)
"""IST time after which yesterday's table is stale (OpenAlgo's MASTER_CONTRACT_CUTOFF_TIME)."""


def is_stale(
    synced_at: str | None, rows: int, calendar: Calendar, exchanges: Iterable[str], now: datetime
) -> bool:
    """``synced_at``: ISO-8601, None when never."""
    if synced_at is None or rows == 0:
        return True
    return datetime.fromisoformat(synced_at) < trading_day_start(calendar, exchanges, now, CUT_OFF)
