"""Log lines of a simulator process, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from brokers.jsonlog import JsonLines


def setup(stream: TextIO | None = None) -> None:
    """Send every logger's lines to ``stream`` (stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines({"process": "sim", "venue": "sim"}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
