"""The words of the stage times: stamps, the durations between them, marks, outcomes. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime

from brokers.clock import IST

PROBE_STRATEGY = "compare"
HALF_AN_HOUR_NS = 1_800_000_000_000
LONGEST_NS = 24 * 3600 * 1_000_000_000

ENDPOINTS = ("place", "modify", "cancel")
STAMPS = (
    *("checked_ns", "journaled_ns", "sent_ns", "acknowledged_ns", "answered_ns"),
    *("exchange_ns", "filled_ns", "cancelled_ns"),
)
"""Nanoseconds after ``received``; the columns of a row in this order."""

STAGES: dict[str, tuple[str, str]] = {
    "check": ("", "checked_ns"),
    "journal": ("checked_ns", "journaled_ns"),
    "send": ("journaled_ns", "sent_ns"),
    "acknowledge": ("sent_ns", "acknowledged_ns"),
    "answer": ("acknowledged_ns", "answered_ns"),
    "total": ("", "answered_ns"),
    "exchange": ("sent_ns", "exchange_ns"),
    "fill": ("sent_ns", "filled_ns"),
    "cancelled": ("sent_ns", "cancelled_ns"),
}
"""Stage -> the two stamps it lies between; ``""`` is ``received``.

``journal`` holds the wait for a slot of the broker's limits too, ``acknowledge`` is the broker's round trip,
``exchange`` ends with the first order update that shows it at the exchange, ``fill`` with the whole quantity
and is kept for MARKET orders only (a resting order waits for the market, not for the broker)."""

BROWSER = ("click_acknowledged", "click_drawn", "cancel_gone")

ACKNOWLEDGED = "acknowledged"
REJECTED = "rejected"
"""By the broker, or later by the exchange."""
LIMITED = "limited"
"""The broker answered 429."""
LOST = "lost"
"""Sent, and no readable answer came (a timeout, mostly)."""
FAILED = "failed"
"""Refused for another reason: session, address, an error of the broker's own."""
NOT_SENT = "not_sent"
OUTCOMES = (ACKNOWLEDGED, REJECTED, LIMITED, LOST, FAILED, NOT_SENT)

FIRST, LAST = "first_ms", "last_ms"
"""Daily counts that are moments, not sums: when the day was first and last looked at."""

RESTARTED = 1
"""The api process began anew under the order: stages after that are not known, and not computed."""
CLOCK_SET = 2
"""The wall clock was set under the request: its durations cannot be trusted, and do not count."""
CLOCK_SET_LATER = 4
"""The wall clock was set after the answer: what was stamped until then counts, later stages are not known."""


@dataclass(slots=True)
class Row:
    """One request. Stamps are nanoseconds after it was received, None where it did not pass.

    Attributes:
        id: Of its row in the database, 0 as long as it has none.
        at_ns: Wall time at which it was received.
        base_ns: The same moment on the host's monotonic clock; means nothing after a reboot.
    """

    at_ns: int
    base_ns: int
    endpoint: str
    journal_id: int
    order_id: str
    exchange: str
    symbol: str
    price_type: str
    strategy: str
    probe: str
    outcome: str
    code: str
    flags: int = 0
    checked_ns: int | None = None
    journaled_ns: int | None = None
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    answered_ns: int | None = None
    exchange_ns: int | None = None
    filled_ns: int | None = None
    cancelled_ns: int | None = None
    id: int = 0

    @property
    def day(self) -> str:
        return day_of(self.at_ns)

    def duration_ns(self, stage: str) -> int | None:
        """Length of a stage; None when an end of it is missing or the clock was set under it."""
        begin, end = STAGES[stage]
        until: int | None = getattr(self, end)
        since: int | None = getattr(self, begin) if begin else 0
        if until is None or since is None or self.flags & CLOCK_SET:
            return None
        if stage == "fill" and self.price_type != "MARKET":
            return None
        if stage == "cancelled" and self.endpoint != "cancel":
            return None
        return until - since


def day_of(at_ns: int) -> str:
    """IST date of a wall time, ``2026-11-20``."""
    return _day_of(at_ns // HALF_AN_HOUR_NS)


@functools.lru_cache(64)
def _day_of(half_hour: int) -> str:
    # midnight in India is on the half hour in UTC; asked many times an order
    return datetime.fromtimestamp(half_hour * 1800, IST).date().isoformat()


def probe_of(strategy: str, client_order_id: str | None) -> str:
    """The probe an order belongs to, empty for all others."""
    return client_order_id or "" if strategy == PROBE_STRATEGY else ""
