"""One JSON object a line, whole and without a secret in it."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from brokers.clock import IST
from brokers.model import Venue
from brokers.secret import Secret
from gateway import log as logs
from gateway import settings as gateway_settings
from tests.gateway.api.rig import write_env


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    write_env(tmp_path, "dhan")
    out = io.StringIO()
    redactor = logs.setup("api", gateway_settings.load(tmp_path, "dhan", Venue.SIM), out)
    redactor.add(Secret("a-broker-token"))
    yield out
    root.handlers[:], root.level = before, level


def lines(stream: io.StringIO, count: int) -> list[dict[str, object]]:
    end = time.monotonic() + 5
    while stream.getvalue().count("\n") < count:
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.005)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(stream):
    logging.getLogger("x").info("took %d", 3, extra={"ms": 1.5})
    line = lines(stream, 1)[0]
    assert (line["process"], line["instance"], line["venue"]) == ("api", "dhan", "sim")
    assert (line["level"], line["logger"], line["message"], line["ms"]) == ("INFO", "x", "took 3", 1.5)
    assert str(line["time"]).endswith("+00:00")


def test_a_log_is_put_aside_outside_the_hours_of_its_own_markets(tmp_path):
    write_env(tmp_path, "dhan")
    one = gateway_settings.load(tmp_path, "dhan", Venue.SIM)
    noon, night = (datetime(2026, 11, 20, hour, tzinfo=IST) for hour in (12, 3))
    trading = logs.own_log("api", replace(one, sim_hours="nse"))
    assert not trading.quiet(noon)
    assert trading.quiet(night)
    assert logs.own_log("api", replace(one, sim_hours="always")).quiet(noon)


def test_no_secret_passes_in_a_message_an_extra_or_a_trace(stream):
    log = logging.getLogger("x")
    log.info("token=%s", "a-broker-token")
    log.info("plain a-broker-token", extra={"body": {"deep": "a-broker-token"}})
    try:
        raise ValueError("k" * 40)
    except ValueError:
        log.exception("failed")
    found = lines(stream, 3)
    assert "a-broker-token" not in stream.getvalue()
    assert "k" * 40 not in stream.getvalue(), "APP_KEY"
    assert "ValueError" in str(found[2]["exception"])


def test_what_cannot_be_formatted_does_not_end_the_log(stream, capsys):
    log = logging.getLogger("x")
    log.info("odd", extra={"thing": object()})
    handler = logging.getLogger().handlers[0]
    handler.emit(logging.makeLogRecord({"msg": "%d", "args": ("not a number",), "levelno": logging.INFO}))
    log.info("after")
    assert [line["message"] for line in lines(stream, 2)] == ["odd", "after"]
    assert "real number is required" in capsys.readouterr().err


def test_lines_of_many_threads_stay_whole(stream):
    log = logging.getLogger("x")
    threads = [threading.Thread(target=lambda: [log.info("n" * 200) for _ in range(100)]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(stream, 500)) == 500


def test_flush_writes_what_waits(stream):
    logging.getLogger("x").info("last words")
    logging.getLogger().handlers[0].flush()
    assert json.loads(stream.getvalue())["message"] == "last words"
