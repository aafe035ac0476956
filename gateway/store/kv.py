"""Small facts that outlive a restart."""

from __future__ import annotations

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from gateway.store.tables import KV


def get(connection: Connection, name: str) -> str | None:
    return connection.execute(select(KV.c.value).where(KV.c.name == name)).scalar_one_or_none()


def put(connection: Connection, name: str, value: str) -> None:
    statement = insert(KV).values(name=name, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def under(connection: Connection, prefix: str) -> dict[str, str]:
    """Every fact whose name begins with ``prefix``, by the rest of its name, in the order of names."""
    head = func.substr(KV.c.name, 1, len(prefix)) == prefix
    rows = connection.execute(select(KV.c.name, KV.c.value).where(head).order_by(KV.c.name))
    return {name[len(prefix) :]: value for name, value in rows}
