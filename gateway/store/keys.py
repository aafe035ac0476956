"""API key rows: hashes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, insert, select, update

from gateway import scopes as words
from gateway.scopes import Scope
from gateway.store.tables import API_KEYS


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One API key; its text is not stored anywhere."""

    id: int
    label: str
    created_at: datetime
    revoked_at: datetime | None
    scopes: frozenset[Scope] = words.ALL


def add(
    connection: Connection, label: str, digest: bytes, at: datetime, scopes: frozenset[Scope] = words.ALL
) -> int:
    """The new row's id."""
    done = connection.execute(
        insert(API_KEYS)
        .values(label=label, digest=digest, created_at=at.isoformat(), scopes=words.stored(scopes))
        .returning(API_KEYS.c.id)
    )
    return int(done.scalar_one())


def by_digest(connection: Connection, digest: bytes) -> tuple[KeyRow, bytes] | None:
    """The row and its stored digest, for a comparison in constant time."""
    row = connection.execute(select(API_KEYS).where(API_KEYS.c.digest == digest)).first()
    return None if row is None else (_value(row), bytes(row.digest))


def everything(connection: Connection) -> list[KeyRow]:
    return [_value(row) for row in connection.execute(select(API_KEYS).order_by(API_KEYS.c.id))]


def revoke(connection: Connection, key_id: int, at: datetime) -> bool:
    """False when there is no such unrevoked key."""
    unrevoked = (API_KEYS.c.id == key_id) & API_KEYS.c.revoked_at.is_(None)
    return (
        connection.execute(update(API_KEYS).where(unrevoked).values(revoked_at=at.isoformat())).rowcount == 1
    )


def _value(row: Row[tuple[object, ...]]) -> KeyRow:
    return KeyRow(
        id=row.id,
        label=row.label,
        created_at=datetime.fromisoformat(row.created_at),
        revoked_at=datetime.fromisoformat(row.revoked_at) if row.revoked_at else None,
        scopes=words.read(row.scopes),
    )
