"""What a person is shown of a process that will not be started again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from supervisor.logfile import last_lines

LAST_LINES = 50


def told(child: Mapping[str, Any]) -> str:
    """One child's row of the status: why it failed and the end of its log."""
    tail = "\n".join(f"    {line}" for line in last_lines(Path(child["log"]), LAST_LINES))
    return f"{child['key']} failed: {child['reason']}\n  last lines of {child['log']}:\n{tail}"


def of(row: Mapping[str, Any]) -> Iterator[str]:
    """The same for every failed child of an instance."""
    for child in row.get("children") or []:
        if child["state"] == "failed":
            yield told(child)
