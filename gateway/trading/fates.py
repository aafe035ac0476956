"""What became of each order of a panic, as far as it is known. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from brokers.model import Order, OrderStatus
from gateway.panicfile import Panic


class Fate(StrEnum):
    """What became of one order that was open when panic was called."""

    GOING = "going"
    """Its cancellation has not been confirmed yet, and goes on."""
    CANCELLED = "cancelled"
    """The broker's book shows it cancelled, or does not show it working any more after it took the cancel."""
    ENDED = "ended"
    """It was executed or rejected before the cancellation reached it."""
    FAILED = "failed"
    """The broker refuses to cancel it; nothing more is tried."""
    LEFT = "left"
    """The policy leaves it alone: a good-till-triggered order that stays armed at the broker."""


@dataclass(frozen=True, slots=True)
class One:
    """One order, or one GTT by its trigger id.

    ``taken_at``: when the broker took a request to cancel it, monotonic; 0 while it has not.
    """

    orderid: str
    state: Fate = Fate.GOING
    code: str = ""
    message: str = ""
    taken_at: float = 0.0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """How far this instance is with one panic.

    Attributes:
        done: Nothing is left to do.
        waiting: Why it cannot go on now (no session, book unreadable), empty otherwise.
        gtts: Good-till-triggered orders, whoever keeps them.
        closed, not_closed: With policy ``close``: exits the broker took, and what did not work.
    """

    serial: int = 0
    active: bool = False
    policy: str = "block"
    reason: str = ""
    by: str = ""
    at: str = ""
    done: bool = True
    waiting: str = ""
    orders: tuple[One, ...] = ()
    closed: int = 0
    not_closed: tuple[str, ...] = field(default=())
    gtts: tuple[One, ...] = ()

    def count(self, fate: Fate) -> int:
        """Orders of this fate."""
        return _count(self.orders, fate)

    def count_gtts(self, fate: Fate) -> int:
        return _count(self.gtts, fate)

    def plain(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "orders": [_row(one, "orderid") for one in self.orders],
            "gtts": [_row(one, "trigger_id") for one in self.gtts],
            "counts": {fate.value: self.count(fate) for fate in Fate},
            "gtt_counts": {fate.value: self.count_gtts(fate) for fate in Fate},
            "not_closed": list(self.not_closed),
        }


def begun(state: Panic, *, done: bool) -> Report:
    return Report(
        serial=state.serial,
        active=state.active,
        policy=state.policy,
        reason=state.reason,
        by=state.by,
        at=state.at,
        done=done,
    )


def ended(one: One, order: Order) -> One:
    """It does not work any more."""
    if order.status is not OrderStatus.CANCELLED:
        return replace(one, state=Fate.ENDED, code="", message=f"it is {order.status.value}")
    return replace(one, state=Fate.CANCELLED, code="", message="")


def _count(ones: Iterable[One], fate: Fate) -> int:
    return sum(one.state is fate for one in ones)


def _row(one: One, name: str) -> dict[str, str]:
    return {name: one.orderid, "state": one.state.value, "code": one.code, "message": one.message}
