"""Folders that are no place for a database."""

from __future__ import annotations

from pathlib import Path

SYNCED = ("dropbox", "onedrive", "google drive", "googledrive", "icloud", "mobile documents", "nextcloud")
"""Words in the folder names of sync tools; they copy databases while they are written."""


def synced_by(folder: Path) -> str | None:
    """The sync tool whose folder this lies in, by the names on its path; None when there is none."""
    return next((word for word in SYNCED if any(word in part.lower() for part in folder.parts)), None)
