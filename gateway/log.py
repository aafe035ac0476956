"""JSON-lines logging of one process, with every secret taken out on the way."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import deque
from typing import TextIO

import msgspec

from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog
from brokers.redact import Redactor
from brokers.secret import Secret
from brokers.venue import Venue
from gateway.brokerday import hours
from gateway.settings import Settings


class Batched(logging.Handler):
    """Writes what came in a tenth of a second with one write, on its own thread.

    A request logs one line: formatting and flushing it would cost the caller more than the work itself. A
    warning or worse is written at once; the rest waits at most ``EVERY_S``. ``logging`` flushes at exit.
    """

    EVERY_S = 0.1
    MOST = 100_000

    def __init__(self, stream: TextIO, own: OwnLog | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._own = own
        self._records: deque[logging.LogRecord] = deque(maxlen=self.MOST)
        self._some = threading.Event()
        self._now = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
        if record.levelno >= logging.WARNING:
            self._now.set()
        if not self._some.is_set():
            self._some.set()

    def flush(self) -> None:
        """Write everything that waits, in this thread."""
        with self.lock or threading.RLock():
            lines: list[str] = []
            while self._records:
                record = self._records.popleft()
                try:
                    lines.append(self.format(record))
                except Exception:  # noqa: BLE001 (a line that cannot be formatted must not end the log)
                    self.handleError(record)
            if lines:
                self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
            if self._own is not None:
                self._own.look()

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._now.wait(self.EVERY_S)
            self._some.clear()
            self._now.clear()
            with contextlib.suppress(OSError, ValueError):  # the stream went away: nowhere left to say so
                self.flush()


def secrets_of(settings: Settings) -> list[Secret]:
    """What must never stand in this instance's log. Client ids are no secrets and help a reader."""
    public = {c.env for c in settings.spec.credentials if not c.secret}
    known = [secret for name, secret in settings.credentials.items() if name not in public]
    return [*known, settings.app_key, settings.pepper, settings.internal_key]


def _encode(line: object) -> str:
    return msgspec.json.encode(line).decode()


def own_log(name: str, settings: Settings) -> OwnLog:
    """The log file of one process of an instance; what is due is put aside outside its market's hours."""
    always = settings.venue is Venue.SIM and settings.sim_hours == "always"
    calendar, exchanges = hours.trading_calendar(always=always), settings.spec.capabilities.exchanges
    return OwnLog(
        settings.log_dir / f"{settings.name}.{name}.log",
        settings.logs,
        quiet=lambda now: hours.is_quiet(calendar, exchanges, now, hours.MARGIN),
    )


def setup(name: str, settings: Settings, stream: TextIO | None = None) -> Redactor:
    """Route the root logger to JSON lines on ``stream`` (default stderr); returns the redactor to add to."""
    # nobody reads who logged from which line, thread or process, and every request would pay for it
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    redactor = Redactor(secrets_of(settings))
    own = None if stream else own_log(name, settings)
    handler = Batched(stream or sys.stderr, own)
    fixed = {"process": name, "instance": settings.name, "venue": settings.venue.value}
    handler.setFormatter(JsonLines(fixed, redactor, _encode))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # chatty about every packet and every connection at INFO
    for noisy in ("urllib3", "werkzeug", "engineio", "socketio", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return redactor
