"""Broker sessions at rest: encrypted, numbered by generation; and the login attempts that were made."""

from __future__ import annotations

import base64
import json

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, delete, insert, select, update

from brokers.clock import Clock
from brokers.contract import BrokerSession
from brokers.secret import Secret
from gateway.store.engine import Database
from gateway.store.tables import BROKER_SESSIONS, LOGIN_ATTEMPTS

KEPT = 3
"""Sealed sessions kept; older ones are worth nothing and are deleted."""


class SealedSessions:
    """Broker sessions of one instance. The key comes from the pepper and ``FERNET_SALT``."""

    def __init__(self, database: Database, pepper: Secret, salt: str, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # the pepper is random already: HKDF separates uses, it need not be slow
        key = HKDF(SHA256(), 32, salt.encode(), b"algo broker session").derive(pepper.reveal().encode())
        self._box = Fernet(base64.urlsafe_b64encode(key))

    def save(self, session: BrokerSession) -> BrokerSession:
        """Store a new login; returns it with its generation."""

        def work(connection: Connection) -> int:
            generation = int(
                connection.execute(
                    insert(BROKER_SESSIONS)
                    .values(broker=session.broker, sealed=b"", stored_at=self._clock.now().isoformat())
                    .returning(BROKER_SESSIONS.c.generation)
                ).scalar_one()
            )
            plain = json.dumps(session.with_generation(generation).to_plain())
            here = BROKER_SESSIONS.c.generation
            connection.execute(
                update(BROKER_SESSIONS)
                .where(here == generation)
                .values(sealed=self._box.encrypt(plain.encode()))
            )
            connection.execute(delete(BROKER_SESSIONS).where(here <= generation - KEPT))
            return generation

        return session.with_generation(self._database.write(work))

    def newest(self) -> BrokerSession | None:
        """The newest stored session, expired or not; None when there is none.

        Raises:
            InvalidToken: Stored with another pepper or salt.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(BROKER_SESSIONS).order_by(BROKER_SESSIONS.c.generation.desc()).limit(1)
            ).first()
        if row is None:
            return None
        return BrokerSession.from_plain(json.loads(self._box.decrypt(row.sealed)))

    def note_attempt(self, outcome: str) -> int:
        """Remember a login that is about to be tried, so that a crash in the middle counts; its id."""
        at_ns = self._clock.time_ns()

        def work(connection: Connection) -> int:
            day_ns = 86_400_000_000_000
            connection.execute(delete(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.at_ns < at_ns - day_ns))
            new = insert(LOGIN_ATTEMPTS).values(at_ns=at_ns, outcome=outcome).returning(LOGIN_ATTEMPTS.c.id)
            return int(connection.execute(new).scalar_one())

        return self._database.write(work)

    def settle_attempt(self, attempt: int, outcome: str) -> None:
        """How the login ended."""
        this = update(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.id == attempt)
        self._database.write(lambda c: c.execute(this.values(outcome=outcome)).rowcount)

    def attempts(self, seconds: float) -> list[tuple[float, str]]:
        """(age in seconds, outcome) of the attempts of the last ``seconds``, newest first."""
        now = self._clock.time_ns()
        with self._database.read() as connection:
            rows = connection.execute(
                select(LOGIN_ATTEMPTS)
                .where(LOGIN_ATTEMPTS.c.at_ns > now - int(seconds * 1e9))
                .order_by(LOGIN_ATTEMPTS.c.id.desc())
            ).all()
        return [((now - row.at_ns) / 1e9, row.outcome) for row in rows]


__all__ = ["InvalidToken", "SealedSessions"]
