"""JSON-lines logging of one process, with every secret taken out on the way."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from brokers.redact import Redactor
from brokers.secret import Secret
from gateway.settings import Settings

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, process, instance, logger, message, then ``extra``."""

    def __init__(self, process: str, settings: Settings, redactor: Redactor) -> None:
        super().__init__()
        self._fixed = {"process": process, "instance": settings.name, "venue": settings.venue.value}
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **self._fixed,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        text = msgspec.json.encode(line, enc_hook=str).decode()
        # over the whole line, so that a secret in an extra field or a traceback does not pass either
        return self._redactor.clean(text)


def secrets_of(settings: Settings) -> list[Secret]:
    """What must never stand in this instance's log. Client ids are no secrets and help a reader."""
    public = {c.env for c in settings.spec.credentials if not c.secret}
    known = [secret for name, secret in settings.credentials.items() if name not in public]
    return [*known, settings.app_key, settings.pepper, settings.internal_key]


def setup(name: str, settings: Settings, stream: TextIO | None = None) -> Redactor:
    """Route the root logger to JSON lines on ``stream`` (default stderr); returns the redactor to add to."""
    redactor = Redactor(secrets_of(settings))
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(name, settings, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # chatty about every packet and every connection at INFO
    for noisy in ("urllib3", "werkzeug", "engineio", "socketio", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return redactor
