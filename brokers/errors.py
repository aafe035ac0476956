"""One error tree. Raised where the fact is known, translated once at the edge.

Decide by class or by ``code``, never by searching the message. A message says what, where and what next.
"""

from __future__ import annotations


class AlgoError(Exception):
    """Root of everything this project raises on purpose."""

    code = "INTERNAL"


class SettingsError(AlgoError):
    """The env file or the command line is wrong; the operator edits it. Exit code 2."""

    code = "SETTINGS"


class InvalidRequest(AlgoError):
    """The caller's request is wrong.

    Args:
        message: One line for a person.
        fields: Every bad field with its messages, e.g. ``{"quantity": ["Not a valid number."]}``.
        code: Machine-readable reason, e.g. ``SYMBOL_NOT_FOUND``.
    """

    code = "INVALID_REQUEST"

    def __init__(
        self, message: str, *, fields: dict[str, object] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.fields = fields or {}
        if code:
            self.code = code


class BrokerError(AlgoError):
    """Anything that went wrong between the gateway and a broker.

    Args:
        message: One line for a person, never containing a token or a header.
        broker_code: The broker's own code (``DH-906``, ``1009``), empty when there was none.
    """

    code = "BROKER_ERROR"

    def __init__(self, message: str, *, broker_code: str = "") -> None:
        super().__init__(message)
        self.broker_code = broker_code


class LoginRequired(BrokerError):
    """No broker session, or the broker no longer accepts it. Nothing was executed."""

    code = "AUTH_EXPIRED"


class CodeNeeded(LoginRequired):
    """A person must type a one-time code; the broker was not asked."""


class IpNotAllowed(BrokerError):
    """The broker refuses this machine's address for orders. Nothing was executed."""

    code = "IP_NOT_ALLOWED"


class OrderRejected(BrokerError):
    """The broker or the exchange understood the request and said no.

    Args:
        code: Our machine-readable reason, e.g. ``INSUFFICIENT_MARGIN``; ``ORDER_REJECTED`` if none fits.
    """

    code = "ORDER_REJECTED"

    def __init__(self, message: str, *, broker_code: str = "", code: str | None = None) -> None:
        super().__init__(message, broker_code=broker_code)
        if code:
            self.code = code


class RateLimited(BrokerError):
    """Too many requests; nothing was executed. Wait ``retry_after_s`` seconds."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after_s: float, broker_code: str = "") -> None:
        super().__init__(message, broker_code=broker_code)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(BrokerError):
    """Bytes of an order left this machine and no readable answer came: never send it again."""

    code = "OUTCOME_UNKNOWN"


class BrokerDown(BrokerError):
    """No answer, and for a write: provably nothing left this machine."""

    code = "BROKER_DISCONNECTED"


class WireError(BrokerError):
    """Bytes we cannot read.

    Args:
        frame: The whole frame or body as received, kept for the person who has to find out why.
    """

    code = "WIRE"

    def __init__(self, message: str, frame: bytes = b"") -> None:
        super().__init__(message)
        self.frame = frame


class NotSupported(BrokerError):
    """This broker has no such thing."""

    code = "NOT_SUPPORTED"


class NotFound(BrokerError):
    """The broker knows no such order."""

    code = "ORDER_NOT_FOUND"


class NotReady(BrokerError):
    """The gateway has not yet compared its journal with the broker; nothing was executed, ask again soon."""

    code = "NOT_READY"


class EntriesBlocked(AlgoError):
    """The operator has blocked new entries (``algo panic``); nothing was executed."""

    code = "ENTRIES_BLOCKED"


class RiskLimit(AlgoError):
    """A limit the operator set stands against it; nothing was sent.

    Args:
        limit: Which one, e.g. ``RISK_MAX_ORDER_VALUE``.
        present: What it would come to, or is.
        allowed: What the limit allows.
        code: Where a known word says it better, e.g. ``INSUFFICIENT_MARGIN``.
        retry_after_s: When waiting helps.
    """

    code = "RISK_LIMIT"

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        present: str = "",
        allowed: str = "",
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.present = present
        self.allowed = allowed
        self.retry_after_s = retry_after_s
        if code:
            self.code = code


class LeaseRefused(AlgoError):
    """Another copy of the strategy holds its lease, or this one's counts no more; nothing was sent.

    Args:
        code: ``STRATEGY_LEASE_`` and ``HELD``, ``LOST``, ``EXPIRED``, ``REQUIRED`` or ``UNAVAILABLE``.
        holder, instance: Who has it and where it was taken; empty when nobody has.
        epoch: Of the lease there is; a takeover names it.
        retry_after_s: When it ends unless it is renewed.
    """

    code = "STRATEGY_LEASE_HELD"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        holder: str = "",
        instance: str = "",
        epoch: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.holder = holder
        self.instance = instance
        self.epoch = epoch
        self.retry_after_s = retry_after_s


class RoleMissing(AlgoError):
    """The operator gave this instance other roles (``ROLES``); nothing was sent."""

    code = "ROLE_MISSING"


class StoreError(AlgoError):
    """An instance's database cannot be used now: locked by another process, not made yet, disk full."""

    code = "STORE"
