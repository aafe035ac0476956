"""Reference pages of the manual, taken from the code they describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.manual_pages import api, codes, commands, figures, settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "manual" / "reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "commands.md": commands.page,
    "api.md": api.page,
    "errors.md": codes.page,
    "metrics.md": figures.page,
}
