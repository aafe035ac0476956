"""Apart from ``model`` so that ``algo status``, which needs only this word, does not load the others."""

from __future__ import annotations

from enum import StrEnum


class Venue(StrEnum):
    """Where the bytes of a process go. The two never share a database."""

    LIVE = "live"
    SIM = "sim"
