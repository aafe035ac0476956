"""The process around the fleet page and the route: its port, its log."""

from __future__ import annotations

import json
import logging
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from brokers.venue import Venue
from supervisor import serving


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_a_port_is_served_or_said_to_be_taken(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("test")
    app.add_url_rule("/health/live", view_func=lambda: "up")
    with socket.socket() as free:
        free.bind((serving.HOST, 0))
        port = free.getsockname()[1]
    server = serving.serve(app, port)
    assert server is not None
    try:
        with urllib.request.urlopen(f"http://{serving.HOST}:{port}/health/live", timeout=10) as answer:
            assert answer.read() == b"up"
        assert serving.serve(app, port) is None
        assert f"port {port} cannot be taken" in caplog.text
    finally:
        server.stop(serving.STOP_WITHIN_S)


def test_a_line_says_which_process_and_venue_it_is_of(
    tmp_path: Path, root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers[:] = []  # pytest's own
    serving.log_to(tmp_path, "route", Venue.SIM)
    logging.getLogger("route").info("routing to %s", "dhan")
    found = json.loads(capsys.readouterr().err)
    assert (found["process"], found["venue"], found["message"]) == ("route", "sim", "routing to dhan")
    assert root.level == logging.INFO
