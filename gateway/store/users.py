"""The owner account: argon2id."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.clock import Clock
from gateway.store.engine import Database


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str


class Users:
    """The people who may sign in to the web pages."""

    def __init__(self, database: Database, clock: Clock) -> None: ...

    def exists(self) -> bool:
        """True once an owner account was made."""
        raise NotImplementedError

    def create(self, username: str, password: str) -> User:
        """Raises ``InvalidRequest`` when the name is taken."""
        raise NotImplementedError

    def verify(self, username: str, password: str) -> User | None:
        """None on a wrong name or password; both take the same time."""
        raise NotImplementedError

    def get(self, user_id: int) -> User | None:
        raise NotImplementedError

    def set_password(self, user_id: int, password: str) -> None:
        raise NotImplementedError
