"""API key rows: hashes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One API key; its text is not stored anywhere."""

    id: int
    label: str
    created_at: datetime
    revoked_at: datetime | None
