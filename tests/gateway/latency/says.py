"""What a desk says, made by hand: times in milliseconds after the order was received."""

from __future__ import annotations

from datetime import UTC, datetime

from brokers.clock import ManualClock
from brokers.model import OrderStatus
from gateway.store.journal import Times
from gateway.trading.stages import Heard, Written, offset_ns
from gateway.trading.writes import Done

MS = 1_000_000
START = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
PLACED = {"checked": 1, "journaled": 3, "sent": 4, "acknowledged": 24, "answered": 25}


def clock() -> ManualClock:
    return ManualClock(START)


def wrote(at: ManualClock, endpoint: str = "place", number: int = 1, **more) -> Written:
    """``stages``: ms after received by name; the clock stands at the moment it was received."""
    received_ns = at.time_ns()
    passed = more.pop("stages", PLACED)
    given = {
        "endpoint": endpoint,
        "journal_id": number,
        "order_id": f"B{number}",
        "exchange": "NSE",
        "symbol": "SBIN",
        "price_type": "MARKET",
        "strategy": "",
        "client_order_id": None,
        "times": Times(received_ns, **{f"{n}_ns": received_ns + int(ms * MS) for n, ms in passed.items()}),
        "outcome": Done(None),
        "code": "",
        "began_offset": offset_ns(at),
        "offset": offset_ns(at),
    }
    return Written(**{**given, **more})


def heard(at: ManualClock, ms: float, status: OrderStatus, number: int = 1, **more) -> Heard:
    given = {
        "journal_id": number,
        "order_id": f"B{number}",
        "status": status,
        "at_exchange": status is not OrderStatus.REJECTED,
        "seen_ns": at.time_ns() + int(ms * MS),
        "offset": offset_ns(at),
    }
    return Heard(**{**given, **more})
