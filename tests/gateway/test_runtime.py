"""The api process as a process: exit codes, one per instance, ready against a broker, orderly stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.gateway.api.rig import write_env

pytestmark = pytest.mark.e2e


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def api(home: Path, name: str = "dhan") -> list[str]:
    return command("gateway", "api", "--home", str(home), "--instance", name, "--venue", "sim")


@contextmanager
def process(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as stream:
        one = subprocess.Popen(argv, stdout=stream, stderr=stream)
    try:
        yield one
    finally:
        if one.poll() is None:
            one.kill()
        one.wait()


def get(url: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers=headers or {}, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)
    except (urllib.error.URLError, ConnectionError):
        return 0, None


def until(condition: Callable[[], Any], log: Path, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.05)
    return value


@pytest.mark.parametrize("name", ["dhan", "kotak"])
def test_a_whole_life_against_the_simulated_broker(tmp_path: Path, name: str):
    write_env(tmp_path, name)
    settings = gateway_settings.load(tmp_path, name, Venue.SIM)
    log = tmp_path / "log"
    broker = command(
        "brokers.sim", "--broker", name, "--port", str(settings.sim_port), "--home", str(tmp_path)
    )
    with process(broker, tmp_path / "sim.log"), process(api(tmp_path, name), log) as one:
        until(lambda: get(f"{settings.url}/health/live")[0] == 200, log)
        ready = until(lambda: _ready(settings.url), log)
        assert ready["pid"] == one.pid
        assert ready["instruments"]["rows"] > 1000
        again = subprocess.run(api(tmp_path, name), capture_output=True, timeout=30)
        assert again.returncode in (1, 3), "a second process of the same instance"
        internal = {"X-Algo-Internal": settings.internal_key.reveal()}
        _, made = get(f"{settings.url}/internal/keys", internal, b'{"label": "t"}')
        order = {
            "apikey": made["key"],
            "strategy": "t",
            "symbol": "SBIN",
            "exchange": "NSE",
            "action": "BUY",
            "quantity": 1,
            "pricetype": "MARKET",
            "product": "MIS",
        }
        status, placed = get(f"{settings.url}/api/v1/placeorder", {}, json.dumps(order).encode())
        assert (status, placed["status"]) == (200, "success"), placed
        status, quote = get(
            f"{settings.url}/api/v1/quotes",
            {},
            json.dumps({"apikey": made["key"], "symbol": "SBIN", "exchange": "NSE"}).encode(),
        )
        assert status == 200
        assert quote["data"]["ltp"] > 0
        began = time.monotonic()
        one.send_signal(signal.SIGTERM)
        assert one.wait(10) == 0
        assert time.monotonic() - began < 3
    text = log.read_text()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    assert made["key"] not in text
    assert settings.app_key.reveal() not in text
    if "DHAN_PIN" in settings.credentials:
        assert settings.credentials["DHAN_PIN"].reveal() not in text


def _ready(url: str) -> Any:
    status, body = get(f"{url}/health/ready")
    return body if status == 200 else None


def test_a_taken_port_is_exit_code_3_and_names_the_setting(tmp_path: Path):
    write_env(tmp_path, "dhan")
    port = gateway_settings.load(tmp_path, "dhan", Venue.SIM).port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = subprocess.run(api(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode == 3, done.stderr
    assert "FLASK_PORT" in done.stderr
    assert "instances/dhan.env line" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [("FLASK_PORT=99999", "expected 1-65535"), ("ORDER_RATE_LIMIT=quick", "ORDER_RATE_LIMIT is 'quick'")],
)
def test_wrong_settings_are_exit_code_2(tmp_path: Path, line: str, words: str):
    write_env(tmp_path, "dhan")
    path = tmp_path / "instances" / "dhan.env"
    kept = [text for text in path.read_text().splitlines() if not text.startswith(line.split("=")[0])]
    path.write_text("\n".join([*kept, line]) + "\n")
    done = subprocess.run(api(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


def test_the_other_venues_database_is_exit_code_2_and_untouched(tmp_path: Path):
    write_env(tmp_path, "dhan")
    path = gateway_settings.load(tmp_path, "dhan", Venue.SIM).databases.main
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database of ours")
    done = subprocess.run(api(tmp_path), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert path.read_bytes() == b"not a database of ours"


def test_a_sigterm_before_the_broker_answers_is_orderly_too(tmp_path: Path):
    write_env(tmp_path, "dhan")
    settings = gateway_settings.load(tmp_path, "dhan", Venue.SIM)
    log = tmp_path / "log"
    with process(api(tmp_path), log) as one:
        until(lambda: get(f"{settings.url}/health/live")[0] == 200, log)
        status, body = get(f"{settings.url}/health/ready")
        assert status == 503
        assert body["waiting_for"]
        os.kill(one.pid, signal.SIGTERM)
        assert one.wait(10) == 0
