"""Scopes of API keys. Keys made before them keep every right."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, String


def upgrade(op: Operations) -> None:
    op.add_column("api_keys", Column("scopes", String, nullable=False, server_default="*"))
