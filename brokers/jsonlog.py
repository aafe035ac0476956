"""The one shape of a log line: JSON with time, level, source, message and extras, and no secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from brokers.redact import Redactor

PLAIN = "plain"
"""An extra that says: plain values, nothing of them from outside, so the redactor (most of the cost of
a line) need not look. Not written itself."""
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", PLAIN}


class JsonLines(logging.Formatter):
    """One JSON object a line.

    ``time`` (UTC, ISO), ``level``, the fixed fields, ``logger``, ``message``, the record's ``extra``, and
    ``exception`` when there is one.

    Args:
        fixed: Fields of every line of this process (``process``, ``instance`` …).
        redactor: Cleans the whole line, so that a secret in an extra or a traceback does not pass either.
        encode: For ``PLAIN`` lines; a process that writes many hands in a quicker one.
    """

    def __init__(
        self,
        fixed: Mapping[str, str] | None = None,
        redactor: Redactor | None = None,
        encode: Callable[[object], str] = json.dumps,
    ) -> None:
        super().__init__()
        self._fixed = dict(fixed or {})
        self._redactor = redactor or Redactor()
        self._encode = encode

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **self._fixed,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if getattr(record, PLAIN, False):
            return self._encode(line)
        return self._redactor.clean(json.dumps(line, default=str, ensure_ascii=False))
