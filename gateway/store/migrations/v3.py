"""Scopes of API keys. Keys made before them keep every right."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, String, inspect


def upgrade(op: Operations) -> None:
    # a file of figures (stage times) has the same versions and no keys
    if inspect(op.get_bind()).has_table("api_keys"):
        op.add_column("api_keys", Column("scopes", String, nullable=False, server_default="*"))
