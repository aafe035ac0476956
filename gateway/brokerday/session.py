"""The broker session: made and renewed by the api process only, read by the feed.

A login is worth something: a broker counts them, locks accounts, and (Dhan) kills the token before it. So a
stored session that is still valid is used again after a restart, one thread logs in at a time, and logins
nobody asked for are budgeted over restarts.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from brokers.clock import Clock
from brokers.contract import Auth, BrokerSession
from brokers.errors import AlgoError, BrokerDown, CodeNeeded, LoginRequired, RateLimited, SettingsError
from brokers.secret import Secret
from gateway.brokerday import rollover
from gateway.brokerday.rollover import Held, Step
from gateway.store.engine import Database
from gateway.store.tokens import InvalidToken, SealedSessions
from gateway.survive import survive

log = logging.getLogger(__name__)

BUDGET = 3
BUDGET_S = 900.0
REFUSALS = 2
REFUSALS_S = 3600.0
"""Logins nobody typed: at most 3 in 15 minutes, and none after 2 refusals within an hour."""
REFUSED_FOR_S = 2.0
"""How long a refused session is not shown to the broker again by requests; then one may find it cured."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0
TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """``state``: valid, none (never logged in), expired, refused (the broker or our login budget said no)."""

    state: str
    account: str
    expires_at: datetime | None
    generation: int
    message: str
    issued_at: datetime | None = None


class SessionManager:
    """Owns the broker login of one instance (api process). Thread-safe.

    Args:
        lead_s: How long before its end a session is renewed; 0: its end is fixed, renewing gains nothing.
        unattended: What logs in when nobody asked; None: the same. It may lack the TOTP seed.
        hint: Said beside a login that needs a person's code.
        on_session: Called with every new session (after it is stored), e.g. to tell the redactor.
    """

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
        unattended: Auth | None = None,
        hint: str = "",
        on_session: Callable[[BrokerSession], None] = lambda session: None,  # noqa: ARG005
    ) -> None:
        self._auth = auth
        self._unattended = unattended or auth
        self._hint = hint
        self._sealed = SealedSessions(database, pepper, salt, clock)
        self._clock = clock
        self._broker = broker
        self._lead_s = lead_s
        self._on_session = on_session
        self._session: BrokerSession | None = None
        self._refused = 0  # the generation the broker no longer takes
        self._refused_at = float("-inf")
        self._used = threading.local()  # .generation: the session this thread's last call went out with
        self._login_refused = False
        self._message = "not started"
        self._retry_at = float("-inf")
        self._retry_s = FIRST_RETRY_S
        self._one_login = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Reuse a stored valid session or log in, then renew ahead of expiry; returns at once."""
        self._load()
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def current(self) -> BrokerSession:
        """The newest valid session. Raises ``LoginRequired``."""
        session = self._session
        if session is None or session.expires_at <= self._clock.now():
            raise LoginRequired(f"no valid broker session: {self.status().message}")
        self._used.generation = session.generation
        return session

    def check(self) -> None:
        """As ``current``, for a request that has not begun.

        What the broker refused a moment ago is not tried with every request anew, which would use up the
        slots an exit needs after the login.

        Raises:
            LoginRequired: At once, without asking the broker.
        """
        session = self.current()
        age_s = self._clock.monotonic() - self._refused_at
        if self._refused == session.generation and age_s < REFUSED_FOR_S:
            raise LoginRequired(
                f"the broker no longer accepts the session: {self._message or 'log in again'}"
            )

    def login(self, totp: str | None = None) -> BrokerSession:
        """Log in now (a person asked). Raises as ``Auth.login``."""
        with self._one_login:
            return self._attempt(lambda: self._auth.login(totp=totp))

    def adopt(self, session: BrokerSession) -> BrokerSession:
        """Take one that was made elsewhere; whoever plays the past has no broker to log in to."""
        with self._one_login:
            return self._attempt(lambda: session)

    def renew(self, failed_generation: int) -> BrokerSession:
        """A session with a generation above the one that failed; single-flight.

        Raises:
            LoginRequired: The broker refused, the login budget is used up, or a person must type a code.
            BrokerDown: The broker did not answer.
        """
        with self._one_login:
            session = self._session
            if session is not None and session.generation > failed_generation:
                return session
            if session is not None and rollover.is_settling(session.expires_at, self._clock.now()):
                raise LoginRequired("the session has just reached its end; the next one is made in a moment")
            if session is not None and session.generation == failed_generation:
                self._refused = failed_generation
            # the broker no longer takes the old token, so it cannot be asked to lengthen it
            return self._unasked(lambda: self._unattended.login())

    def renew_soon(self) -> None:
        """Let the background thread log in: this thread's last call was refused. Does not block.

        Nothing is done where a newer session came meanwhile.

        Calls in flight when a session ends come back one by one, some of them after the new login; each of
        them ending the session after theirs would use up the login budget (and at Dhan kill good tokens).
        """
        session = self._session
        if (
            session is not None
            and getattr(self._used, "generation", session.generation) >= session.generation
        ):
            self._refused = session.generation
            self._refused_at = self._clock.monotonic()
        self._wake.set()

    def status(self) -> SessionStatus:
        session, message = self._session, self._message
        if session is None:
            state = "refused" if self._login_refused else "none"
            return SessionStatus(state, "", None, 0, message)
        if session.expires_at <= self._clock.now():
            state, message = "expired", f"expired {session.expires_at:%Y-%m-%d %H:%M} UTC; {message}"
        elif self._refused == session.generation:
            state = "refused"
        else:
            state, message = "valid", ""
        return SessionStatus(
            state, session.account, session.expires_at, session.generation, message, session.issued_at
        )

    def tick(self) -> None:
        """Log in or renew if that is due; never raises what can be tried again later."""
        session = self._session
        held = None if session is None else Held(session.expires_at, self._refused == session.generation)
        due = rollover.step(held, self._clock.now(), self._lead_s)
        if due in (Step.KEEP, Step.WAIT) or self._clock.monotonic() < self._retry_at:
            return
        try:
            with self._one_login:
                if self._session is not session:
                    return
                if due is Step.LOGIN or session is None:
                    self._unasked(lambda: self._unattended.login())
                else:
                    self._unasked(lambda: self._unattended.renew(session))
        except AlgoError as exc:
            wait_s = self._retry_s * random.uniform(0.8, 1.2)
            if isinstance(exc, RateLimited):
                wait_s = max(wait_s, exc.retry_after_s)
            self._retry_at = self._clock.monotonic() + wait_s
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
            log.warning("broker login: %s (%s); next try in %.0f s", exc, exc.code, wait_s)

    def _run(self) -> None:
        while not self._stopping:
            # a broken login must not end the next one
            with survive(log, "session thread") as turn:
                self.tick()
            if turn.failed:
                self._retry_at = self._clock.monotonic() + LONGEST_RETRY_S
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _load(self) -> None:
        try:
            stored = self._sealed.newest()
        except InvalidToken:
            self._message = "the stored session was sealed with another API_KEY_PEPPER or FERNET_SALT"
            log.warning("%s; logging in anew", self._message)
            return
        self._message = "no login yet"
        if stored is not None and stored.broker == self._broker:
            self._session = stored
            if stored.expires_at > self._clock.now():
                self._on_session(stored)

    def _unasked(self, make: Callable[[], BrokerSession]) -> BrokerSession:
        """A login nobody typed: only within the budget. The caller holds ``_one_login``."""
        wait_s = budget_wait_s(self._sealed.attempts(REFUSALS_S))
        if wait_s > 0:
            self._message = (
                f"no automatic login for {wait_s / 60:.0f} min (too many of late); run: algo login"
            )
            raise LoginRequired(self._message)
        try:
            return self._attempt(make)
        except CodeNeeded as exc:
            self._message = f"{exc}{self._hint}"
            raise LoginRequired(self._message) from exc
        except SettingsError as exc:
            # no way to log in without a person: for the caller that is a login required
            raise LoginRequired(str(exc)) from exc

    def _attempt(self, make: Callable[[], BrokerSession]) -> BrokerSession:
        """One login, remembered before it is tried: a crash in the middle counts."""
        attempt = self._sealed.note_attempt("tried")
        try:
            session = make()
        except AlgoError as exc:
            self._sealed.settle_attempt(attempt, _OUTCOMES.get(type(exc), "failed"))
            self._login_refused = isinstance(exc, LoginRequired)
            self._message = str(exc)
            raise
        session = self._sealed.save(session)
        self._sealed.settle_attempt(attempt, "ok")
        self._session, self._message, self._login_refused = session, "", False
        self._retry_s, self._retry_at = FIRST_RETRY_S, float("-inf")
        self._on_session(session)
        log.info("broker session %d for %s until %s", session.generation, session.account, session.expires_at)
        return session


# a login that never reached the broker costs nothing
_OUTCOMES: dict[type[AlgoError], str] = {
    BrokerDown: "down",
    SettingsError: "impossible",
    CodeNeeded: "impossible",
    LoginRequired: "refused",
}
_FREE = ("down", "impossible")


def budget_wait_s(attempts: list[tuple[float, str]]) -> float:
    """Seconds until the next login nobody typed is allowed; 0 when it is now.

    Args:
        attempts: (age in seconds, outcome), newest first.
    """
    recent = [age for age, outcome in attempts if outcome not in _FREE and age < BUDGET_S]
    refused: list[float] = []
    for age, outcome in attempts:
        if outcome == "ok":
            break
        if outcome == "refused" and age < REFUSALS_S:
            refused.append(age)
    wait_s = 0.0
    if len(recent) >= BUDGET:
        wait_s = BUDGET_S - recent[BUDGET - 1]
    if len(refused) >= REFUSALS:
        wait_s = max(wait_s, REFUSALS_S - refused[REFUSALS - 1])
    return wait_s


class StoredSession:
    """The feed process's side: reads what the api process stored."""

    def __init__(self, database: Database, pepper: Secret, salt: str, clock: Clock) -> None:
        self._sealed = SealedSessions(database, pepper, salt, clock)
        self._clock = clock

    def read(self) -> BrokerSession:
        """The newest stored session. Raises ``LoginRequired`` when none is stored or it has expired."""
        try:
            session = self._sealed.newest()
        except InvalidToken as exc:
            raise LoginRequired("the stored session was sealed with another pepper; run: algo login") from exc
        if session is None:
            raise LoginRequired("no broker session is stored yet; run: algo login")
        if session.expires_at <= self._clock.now():
            raise LoginRequired(f"the stored broker session ended {session.expires_at:%Y-%m-%d %H:%M} UTC")
        return session
