"""Log lines of a simulator process, on stderr."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TextIO

from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog, OwnLogHandler


def setup(stream: TextIO | None = None, path: Path | None = None) -> None:
    """Send every logger's lines to ``stream`` (stderr).

    Args:
        path: The file standard error leads to when a supervisor started it; it is kept short.
    """
    handler = OwnLogHandler(OwnLog(path) if path else None, stream)
    handler.setFormatter(JsonLines({"process": "sim", "venue": "sim"}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
