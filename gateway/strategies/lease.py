"""Pure: who may trade under a strategy id, decided over one row for each id.

====================== ============================ ============================= ==========================
what happens           nobody holds it              held, by the one who asks     held, by another
====================== ============================ ============================= ==========================
``Acquire``            granted, next epoch          *held*: a holder is a name,   *held*; granted when its
                                                    the lease proves it           ``takeover`` is the epoch
``Renew``              granted, same epoch, unless  longer                        *lost*
                       somebody came in between
``Release``            nothing                      free                          *lost*
``Free`` (operator)    nothing                      free, the lease is worthless  free, the lease is worthless
an order with a lease  *expired*                    passes                        *lost*
an order without one   passes; marked ``instance``: passes where the instance     *held*
                       the instance holds it until  holds it itself
                       midnight IST; marked
                       ``lease``: *required*
====================== ============================ ============================= ==========================

The words in stars are the ends of the codes ``STRATEGY_LEASE_…``.
Every grant to a new holder raises the epoch, which never falls: a lease of an earlier epoch is worthless
however late it is shown. Times are wall nanoseconds; a clock that is set ends leases early, whichever way,
and the epoch makes that harmless: the holder renews, unless somebody came in between.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from brokers.clock import IST
from brokers.errors import LeaseRefused

LEAST_TTL_S = 5.0
MOST_TTL_S = 3600.0
USUAL_TTL_S = 30.0
S = 1_000_000_000
CLOCK_SLACK_NS = 2 * S


class Exclusive(StrEnum):
    """What an order without a lease needs."""

    NO = "no"
    INSTANCE = "instance"
    """It must come through the instance that the strategy first traded through today."""
    LEASE = "lease"
    """There is no such order: entries need a lease."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One strategy id. ``secret`` is empty where nobody, or an instance itself, holds it.

    Attributes:
        holder: What the holder calls itself.
        instance: Where it was taken.
    """

    strategy: str
    epoch: int = 0
    exclusive: Exclusive = Exclusive.NO
    holder: str = ""
    instance: str = ""
    secret: str = ""
    taken_ns: int = 0
    renewed_ns: int = 0
    ends_ns: int = 0

    def is_live(self, now_ns: int) -> bool:
        # renewed in the future: the clock was set back, and nobody knows how long the lease has lasted
        return self.renewed_ns - CLOCK_SLACK_NS <= now_ns < self.ends_ns

    @property
    def token(self) -> str:
        return f"{self.epoch}-{self.secret}" if self.secret else ""

    def is_token(self, token: str) -> bool:
        return bool(self.secret) and hmac.compare_digest(token.encode(), self.token.encode())


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask for a strategy id. ``takeover``: the epoch whose holder is to lose it; 0 asks politely."""

    holder: str
    instance: str
    ttl_s: float
    secret: str
    takeover: int = 0


@dataclass(frozen=True, slots=True)
class Renew:
    """Its holder keeps it for another while."""

    token: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Release:
    """Its holder gives it back."""

    token: str


@dataclass(frozen=True, slots=True)
class Free:
    """The operator ends whatever lease there is."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The operator says what orders without a lease need."""

    exclusive: Exclusive


@dataclass(frozen=True, slots=True)
class Use:
    """The first order of the day without a lease, of a strategy marked ``instance``."""

    instance: str


Event = Acquire | Renew | Release | Free | Mark | Use


def step(row: Lease, event: Event, now_ns: int) -> Lease:
    """The row after an event. Raises ``LeaseRefused``; then nothing has changed."""
    match event:
        case Acquire():
            return _acquired(row, event, now_ns)
        case Renew(token, ttl_s):
            _own(row, token)
            return replace(row, renewed_ns=now_ns, ends_ns=now_ns + _length(ttl_s))
        case Release(token):
            _own(row, token)
            return _free(row)
        case Free():
            return _free(row)
        case Mark(exclusive):
            return replace(row, exclusive=exclusive)
        case Use(instance):
            refusal = objection(row, "", instance, now_ns)
            if refusal is not None:
                raise refusal
            return row if _is_own(row, instance, now_ns) else _given_to(row, instance, now_ns)


def objection(row: Lease, token: str, instance: str, now_ns: int) -> LeaseRefused | None:
    """Why an entry through ``instance`` may not go out; None when it may.

    Args:
        token: The lease it carries, empty for none.
    """
    if token:
        return _of_token(row, token, now_ns)
    if row.is_live(now_ns) and not _is_own(row, instance, now_ns):
        return _held(row, now_ns)
    if row.exclusive is Exclusive.LEASE:
        return LeaseRefused(
            f"entries of strategy '{row.strategy}' need a lease: it is marked exclusive",
            code="STRATEGY_LEASE_REQUIRED",
        )
    return None


def must_use(row: Lease, token: str, instance: str, now_ns: int) -> bool:
    """Whether an order that meets no objection has to take the strategy for its instance first."""
    return not token and row.exclusive is Exclusive.INSTANCE and not _is_own(row, instance, now_ns)


def _acquired(row: Lease, event: Acquire, now_ns: int) -> Lease:
    if row.is_live(now_ns) and event.takeover != row.epoch:
        raise _held(row, now_ns)
    return replace(
        row,
        epoch=row.epoch + 1,
        holder=event.holder,
        instance=event.instance,
        secret=event.secret,
        taken_ns=now_ns,
        renewed_ns=now_ns,
        ends_ns=now_ns + _length(event.ttl_s),
    )


def _given_to(row: Lease, instance: str, now_ns: int) -> Lease:
    local = datetime.fromtimestamp(now_ns / S, UTC).astimezone(IST)
    midnight = datetime.combine(local.date() + timedelta(days=1), time(0), IST)
    return replace(
        row,
        epoch=row.epoch + 1,
        holder=f"instance {instance}",
        instance=instance,
        secret="",
        taken_ns=now_ns,
        renewed_ns=now_ns,
        ends_ns=int(midnight.timestamp()) * S,
    )


def _is_own(row: Lease, instance: str, now_ns: int) -> bool:
    """The instance itself holds it; nobody's lease."""
    return row.is_live(now_ns) and not row.secret and row.instance == instance


def _free(row: Lease) -> Lease:
    return replace(row, holder="", instance="", secret="", ends_ns=0)


def _own(row: Lease, token: str) -> None:
    if not row.is_token(token):
        raise _lost(row)


def _of_token(row: Lease, token: str, now_ns: int) -> LeaseRefused | None:
    if not row.is_token(token):
        return _lost(row)
    if row.is_live(now_ns):
        return None
    return LeaseRefused(
        f"the lease of strategy '{row.strategy}' has ended and nobody has taken it since: renew it",
        code="STRATEGY_LEASE_EXPIRED",
        epoch=row.epoch,
    )


def _lost(row: Lease) -> LeaseRefused:
    whose = f"; {row.holder} holds it now" if row.holder else ""
    return LeaseRefused(
        f"this lease of strategy '{row.strategy}' counts no more{whose}: stop this copy",
        code="STRATEGY_LEASE_LOST",
        holder=row.holder,
        instance=row.instance,
        epoch=row.epoch,
    )


def _held(row: Lease, now_ns: int) -> LeaseRefused:
    if not row.secret:
        return LeaseRefused(
            f"strategy '{row.strategy}' trades through instance {row.instance} today; a second copy may not",
            code="STRATEGY_LEASE_HELD",
            holder=row.holder,
            instance=row.instance,
            epoch=row.epoch,
        )
    left_s = (row.ends_ns - now_ns) / S
    return LeaseRefused(
        f"{row.holder} (instance {row.instance}) holds strategy '{row.strategy}' for another {left_s:.0f} s "
        "unless it renews; a second copy may not trade",
        code="STRATEGY_LEASE_HELD",
        holder=row.holder,
        instance=row.instance,
        epoch=row.epoch,
        retry_after_s=left_s,
    )


def _length(ttl_s: float) -> int:
    return int(min(max(ttl_s, LEAST_TTL_S), MOST_TTL_S) * S)
