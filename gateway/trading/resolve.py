"""An order of unknown outcome from an earlier day, ended by a person who has seen the broker's papers.

Today's books cannot tell of another day, so the settler leaves such a row ``unknown`` for good. Whoever ends
it says what the broker showed and where; both stand in the append-only events.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from brokers.errors import InvalidRequest, NotFound
from brokers.model import OrderStatus
from gateway.store.journal import Change, JournalRow
from gateway.trading import machine
from gateway.trading.machine import State
from gateway.trading.parts import DeskParts
from gateway.trading.reader import day_start_ns
from gateway.trading.settle import Settler

NEVER = "never_reached"
OUTCOMES = (NEVER, "complete", "cancelled", "rejected")
KIND = "resolved by a person"
BROKERS_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the broker showed.

    Attributes:
        outcome: One of ``OUTCOMES``; ``never_reached``: it knows no such order.
        evidence: Where that was seen: contract note, statement, a call.
        order_id: The broker's id, empty when there is none.
        filled: Executed quantity; None: all of a complete order, nothing of another.
        average: Rupees a piece, None when nothing was executed or it is not known.
    """

    outcome: str
    evidence: str
    order_id: str = ""
    filled: int | None = None
    average: Decimal | None = None


class Unknowns:
    """The orders of one desk whose outcome is not known. Thread-safe."""

    def __init__(self, parts: DeskParts, settler: Settler) -> None:
        self._journal = parts.journal
        self._clock = parts.clock
        self._settler = settler

    def rows(self) -> list[JournalRow]:
        """Oldest first."""
        return [row for row in self._journal.unfinished() if row.known.state is State.UNKNOWN]

    def today(self) -> list[JournalRow]:
        """Every order of today and every one that has not ended, oldest first."""
        return self._journal.since(day_start_ns(self._clock))

    def evidence(self, journal_id: int) -> list[dict[str, Any]]:
        """Everything that is known to have happened to one order, oldest first."""
        return self._journal.events(journal_id)

    def is_old(self, row: JournalRow) -> bool:
        """Of an earlier day: only a person can end it."""
        return row.created_ns < day_start_ns(self._clock)

    def resolve(self, journal_id: int, said: Resolution) -> JournalRow:
        """End one; the row after it.

        Raises:
            NotFound: There is no such row.
            InvalidRequest: It is not unknown, or of today (``ORDER_NOT_OPEN``), or what is said cannot be.
        """
        row = self._journal.get(journal_id)
        if row is None:
            raise NotFound(f"there is no journal row J{journal_id}")
        if row.known.state is not State.UNKNOWN:
            raise InvalidRequest(f"J{row.id} is {row.known.state}, not unknown", code="ORDER_NOT_OPEN")
        if not self.is_old(row):
            raise InvalidRequest(
                f"J{row.id} is of today: the broker's own book decides, and it is being looked for",
                code="ORDER_NOT_OPEN",
            )
        event = _event(row, said)
        detail = {**asdict(said), "average": None if said.average is None else str(said.average)}
        try:
            after = self._journal.apply(Change(row.id, KIND, event, detail=detail))
        except machine.IllegalTransition as exc:
            raise InvalidRequest(f"J{row.id} was settled meanwhile", code="ORDER_NOT_OPEN") from exc
        self._settler.heard(after)
        return after


def _event(row: JournalRow, said: Resolution) -> machine.Event:
    if not said.evidence.strip():
        raise InvalidRequest("evidence: say where the outcome was seen")
    if said.order_id and not BROKERS_ID.fullmatch(said.order_id):
        raise InvalidRequest(f"order_id '{said.order_id}' is not an order number")
    reason = f"{KIND}: {said.evidence.strip()}"
    if said.outcome == NEVER:
        if said.filled or said.order_id or said.average is not None:
            raise InvalidRequest("an order that never reached the broker has no number, fill or price there")
        return machine.NeverReached(reason)
    quantity = row.known.quantity
    whole = said.outcome == "complete"
    filled = (quantity if whole else 0) if said.filled is None else said.filled
    most = quantity if said.outcome != "rejected" else 0
    if not 0 <= filled <= most or (whole and filled != quantity):
        raise InvalidRequest(f"filled is {filled}, which a {said.outcome} order of {quantity} cannot be")
    if said.average is not None and (not said.average.is_finite() or said.average <= 0 or not filled):
        raise InvalidRequest(f"average is {said.average}, with {filled} executed")
    shown = replace(
        row.to_order(),
        order_id=said.order_id,
        status=OrderStatus(said.outcome),
        filled_quantity=filled,
        average_price=said.average or Decimal(0),
        rejection_reason=reason,
    )
    return machine.BrokerSays(shown)


def plain(row: JournalRow, *, old: bool) -> dict[str, Any]:
    """For the command line and pages."""
    order = row.to_order()
    return {
        "journal_id": row.id,
        "orderid": row.known.order_id,
        "status": order.status.value,
        "placed_at": order.placed_at.isoformat(timespec="seconds") if order.placed_at else None,
        "symbol": row.key.symbol,
        "exchange": str(row.key.exchange),
        "action": row.action.value,
        "quantity": row.known.quantity,
        "filled": row.known.filled,
        "price": str(row.price),
        "product": row.product,
        "strategy": row.strategy,
        "tag": row.tag,
        "reason": row.known.reason,
        "needs_a_person": old and row.known.state is State.UNKNOWN,
    }
