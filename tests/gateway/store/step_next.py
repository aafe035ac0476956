"""A step as a later version might need it: a table that holds rows and is pointed at is rebuilt."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, String


def upgrade(op: Operations) -> None:
    with op.batch_alter_table("orders", recreate="always") as orders:
        orders.add_column(Column("basket", String, nullable=False, server_default="none"))
    op.execute("UPDATE orders SET basket = 'b' || id")
