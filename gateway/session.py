"""The broker session: made and renewed by the api process only, read by the feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from brokers.clock import Clock
from brokers.contract import Auth, BrokerSession
from brokers.secret import Secret
from gateway.store.engine import Database


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """``state``: valid, none (never logged in), expired, refused (the broker or our login budget said no)."""

    state: str
    account: str
    expires_at: datetime | None
    generation: int
    message: str


class SessionManager:
    """Owns the broker login of one instance (api process). Thread-safe."""

    def __init__(
        self,
        auth: Auth,
        database: Database,
        pepper: Secret,
        salt: str,
        clock: Clock,
        *,
        broker: str,
        lead_s: float = 600.0,
    ) -> None: ...

    def start(self) -> None:
        """Reuse a stored valid session or log in, then renew ahead of expiry; returns at once."""

    def stop(self) -> None: ...

    def current(self) -> BrokerSession:
        """The newest valid session. Raises ``LoginRequired``."""
        raise NotImplementedError

    def login(self, totp: str | None = None) -> BrokerSession:
        """Log in now (a person asked). Raises as ``Auth.login``."""
        raise NotImplementedError

    def renew(self, failed_generation: int) -> BrokerSession:
        """A session with a generation above the one that failed; single-flight. Raises as ``Auth.login``."""
        raise NotImplementedError

    def renew_soon(self) -> None:
        """Ask the background thread to renew; does not block."""

    def status(self) -> SessionStatus:
        raise NotImplementedError


class StoredSession:
    """The feed process's side: reads what the api process stored."""

    def __init__(self, database: Database, pepper: Secret, salt: str, clock: Clock) -> None: ...

    def read(self) -> BrokerSession:
        """The newest stored session. Raises ``LoginRequired`` when none is stored or it has expired."""
        raise NotImplementedError
