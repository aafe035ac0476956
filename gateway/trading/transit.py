"""What a refused change of an order means while that order may still be on its way to the exchange. Pure.

Both brokers refuse to modify or cancel an order the exchange has not answered to yet (Dhan DH-906, Kotak
5204), with the codes they also use for real refusals. So the book decides, not the code: the refusal changed
nothing, and what the book shows afterwards tells whether the order was on its way.
"""

from __future__ import annotations

from enum import Enum, auto

from brokers.model import Order, OrderStatus

RECENT_S = 5.0
"""An order placed or changed this lately may have arrived between the refusal and the reading after it."""
PAUSES_S = (0.05, 0.1, 0.1, 0.2, 0.3)
"""Between readings; the last one repeats. The exchange answers in milliseconds or has a bad day."""


class Next(Enum):
    """What to do about a change the broker refused."""

    WAIT = auto()
    """It is on its way: read again."""
    REPEAT = auto()
    """It has arrived: the same request may be sent once more."""
    PASS_ON = auto()
    """The refusal is about something else."""


def after_refusal(shown: Order | None, *, doubt: bool) -> Next:
    """What to do after the broker refused a modify or cancel.

    Args:
        shown: The order in a reading that began after the refusal; None when it was not there or the book
            could not be read.
        doubt: The refused request may have met the order on its way: it was seen on its way since, or it was
            placed or changed so recently that nobody could see it.
    """
    if shown is None or shown.status.is_final:
        return Next.PASS_ON
    if shown.in_transit:
        return Next.WAIT
    if shown.status is OrderStatus.UNKNOWN or not doubt:
        return Next.PASS_ON
    return Next.REPEAT


def pause_s(looks: int) -> float:
    """How long to wait after that many readings."""
    return PAUSES_S[min(looks, len(PAUSES_S)) - 1]
