"""One write to the broker, once, and what its end means for the order.

The table of the outcomes is the heart of O2 and O3: what provably changed nothing is told apart from what may
have changed something, by class only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from brokers.errors import (
    AlgoError,
    BrokerDown,
    BrokerError,
    InvalidRequest,
    NotSupported,
    OutcomeUnknown,
    RateLimited,
    SettingsError,
    WireError,
)

log = logging.getLogger(__name__)

DUPLICATE = "DUPLICATE_ORDER"


@dataclass(frozen=True, slots=True)
class Done:
    """The broker took it."""

    value: object


@dataclass(frozen=True, slots=True)
class Failed:
    """It certainly changed nothing.

    Attributes:
        sent: False when provably no byte left this machine.
    """

    error: AlgoError
    sent: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """Bytes left, and no readable answer came, or one that does not tell what became of it.

    Attributes:
        code: ``DUPLICATE_ORDER`` when the broker says that it has this request already.
    """

    message: str
    code: str = ""


Outcome = Done | Failed | Lost


def send_once(call: Callable[[], object]) -> Outcome:
    """Make one write and sort its end. Never raises an ``Exception``; never calls twice."""
    try:
        return Done(call())
    except (BrokerDown, NotSupported, InvalidRequest, SettingsError) as exc:
        # refused before the first byte, by contract
        return Failed(exc, sent=False)
    except (OutcomeUnknown, WireError) as exc:
        return Lost(str(exc))
    except BrokerError as exc:
        if exc.code == DUPLICATE:
            # every request carries a mark of its own and is sent once: what the broker has is this very
            # request, brought to it twice, and the first one may stand
            return Lost(str(exc), DUPLICATE)
        return Failed(exc, sent=True)
    except Exception as exc:
        # bytes may have left: whatever this was, it must not be taken for "not sent"
        log.exception("a broker write ended in a way nobody foresaw; its outcome counts as unknown")
        return Lost(f"{type(exc).__name__} while reading the broker's answer")


def retry_after_s(error: AlgoError) -> float | None:
    return error.retry_after_s if isinstance(error, RateLimited) else None


def broker_code(error: AlgoError) -> str:
    return error.broker_code if isinstance(error, BrokerError) else ""
