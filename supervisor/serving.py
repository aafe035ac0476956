"""What the fleet page and the route share as processes: log, signals, server, exit codes."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

from flask import Flask

from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog, OwnLogHandler
from brokers.venue import Venue
from gateway.http.server import Server, ServerRules

HOST = "127.0.0.1"
EXIT_OK = 0
EXIT_CRASH = 1
EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3
STOP_WITHIN_S = 2.0
CONNECTIONS = 96

log = logging.getLogger(__name__)


def until_told() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    return stop


def log_to(data: Path, process: str, venue: Venue) -> None:
    """JSON lines to standard error, which the supervisor led into ``<data>/log/<process>.log``."""
    handler = OwnLogHandler(OwnLog(data / "log" / f"{process}.log"))
    handler.setFormatter(JsonLines({"process": process, "venue": venue.value}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def serve(app: Flask, port: int) -> Server | None:
    """A server that accepts from now on, None when the port is taken."""
    try:
        server = Server(app, HOST, port, ServerRules(connections=CONNECTIONS))
    except OSError as exc:
        log.error("port %s cannot be taken: %s", port, exc)
        return None
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    return server
