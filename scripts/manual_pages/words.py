"""Markdown out of values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTE = "<!-- Made from the code by `scripts/manual reference`; a test compares. Do not edit. -->"


def cell(text: str) -> str:
    """What stands in one field of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell(one) for one in row)} |" for row in rows]
    return [*lines, ""]


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """A docstring's first paragraph as a sentence for readers: its ``code`` marks become markdown's."""
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split("\n\n")[0].split()))


def joined(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"
