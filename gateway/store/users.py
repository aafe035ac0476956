"""The owner account: argon2id."""

from __future__ import annotations

from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from brokers.clock import Clock
from brokers.errors import InvalidRequest
from gateway.store.engine import Database
from gateway.store.tables import USERS


@dataclass(frozen=True, slots=True)
class User:
    """An owner of this instance, who signs in to its pages."""

    id: int
    username: str


class Users:
    """The people who may sign in to the web pages. Thread-safe."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash("nobody has this password")

    def exists(self) -> bool:
        """True once an owner account was made."""
        with self._database.read() as connection:
            return bool(connection.execute(select(func.count()).select_from(USERS)).scalar_one())

    def create(self, username: str, password: str) -> User:
        """Raises ``InvalidRequest`` when the name is taken."""
        values = {
            "username": username,
            "password_hash": self._hasher.hash(password),
            "created_at": self._clock.now().isoformat(),
        }
        try:
            user_id = self._database.write(
                lambda c: int(c.execute(insert(USERS).values(values).returning(USERS.c.id)).scalar_one())
            )
        except IntegrityError as exc:
            raise InvalidRequest(
                "that user name is taken", fields={"username": ["Already taken."]}, code="USERNAME_TAKEN"
            ) from exc
        return User(user_id, username)

    def verify(self, username: str, password: str) -> User | None:
        """None on a wrong name or password; both take the same time."""
        with self._database.read() as connection:
            row = connection.execute(select(USERS).where(USERS.c.username == username)).first()
        try:
            self._hasher.verify(row.password_hash if row else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return None
        return User(row.id, row.username) if row else None

    def get(self, user_id: int) -> User | None:
        with self._database.read() as connection:
            row = connection.execute(select(USERS).where(USERS.c.id == user_id)).first()
        return User(row.id, row.username) if row else None
