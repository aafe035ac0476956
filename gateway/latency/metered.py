"""A broker's REST whose reads are timed and whose errors are counted.

Writes pass untouched: the desk tells of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from brokers.contract import Rest
from brokers.errors import AlgoError
from gateway.latency.recorder import Called

READS = (
    *("orders", "find_tag", "trades", "positions", "holdings", "funds", "margin", "quotes", "candles"),
    *("raw_candles",),
)
WRITES = ("place", "modify", "cancel")
BESIDE = ("registered_ips",)


class _Metered:
    """Has exactly the methods of what it stands for, so that what a broker can do is still asked of it."""

    def __init__(self, rest: Rest, called: Callable[[Called], None]) -> None:
        for name in (*WRITES, *BESIDE):
            if hasattr(rest, name):
                setattr(self, name, getattr(rest, name))
        for name in READS:
            if hasattr(rest, name):
                setattr(self, name, _timed(name, getattr(rest, name), called))


def metered(rest: Rest, called: Callable[[Called], None]) -> Rest:
    """``called`` hears of every read; it must neither wait nor raise."""
    return cast(Rest, _Metered(rest, called))


def _timed(name: str, read: Callable[..., Any], called: Callable[[Called], None]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        began, code = time.monotonic_ns(), "INTERNAL"
        try:
            answer = read(*args, **kwargs)
            code = ""
            return answer
        except AlgoError as exc:
            code = exc.code
            raise
        finally:
            called(Called(name, time.time_ns(), time.monotonic_ns() - began, code))

    return timed
