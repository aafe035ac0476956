"""The tables of an instance's main database."""

from __future__ import annotations

from sqlalchemy import MetaData

METADATA = MetaData()
