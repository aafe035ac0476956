"""The last lines of every process's log, merged by time, for a page."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from brokers.errors import InvalidRequest
from supervisor.logfile import LEVELS, Wanted, merged

MOST = 500


def sources(folder: Path) -> list[str]:
    """Names of the processes that have a log."""
    return sorted(path.stem for path in folder.glob("*.log"))


def recent(
    folder: Path,
    *,
    source: str = "",
    level: str = "DEBUG",
    text: str = "",
    since: str = "",
    count: int = 200,
    beats: bool = False,
) -> list[dict[str, Any]]:
    """Wanted lines, oldest first.

    Args:
        source: An instance (``dhan``) or one process (``dhan.feed``); all when empty.
        text: Found in a line in any case; not a pattern, which could run for ever.
        since: Only lines of this ISO time or later.
        beats: With the feeds' heartbeats, one a second each.

    Raises:
        InvalidRequest: A level or time that is none.
    """
    if level not in LEVELS:
        raise InvalidRequest(f"level {level}: expected one of {', '.join(LEVELS)}")
    try:
        begin = datetime.fromisoformat(since) if since else None
    except ValueError as exc:
        raise InvalidRequest(f"since {since}: expected an ISO time") from exc
    if begin is not None and begin.tzinfo is None:
        raise InvalidRequest(f"since {since}: expected a time zone")
    # names come from the folder, never from the request
    files = {name: folder / f"{name}.log" for name in sources(folder) if _wanted(name, source)}
    pattern = re.compile(("" if beats else r"\A(?!heartbeat )(?s:.*?)") + re.escape(text), re.IGNORECASE)
    lines = merged(files, max(1, min(count, MOST)), Wanted(begin, level, pattern))
    return [
        {"at": line.at, "source": line.source, "level": line.level, "message": line.message} for line in lines
    ]


def _wanted(name: str, source: str) -> bool:
    return not source or source in (name, name.split(".")[0])
