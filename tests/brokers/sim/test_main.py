"""The simulator as a process: ready, stopped, refused, restarted, logged."""

from __future__ import annotations

import io
import json
import logging
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from brokers.sim import log as sim_log
from brokers.sim.__main__ import parse, state_file
from tests.ports import free_ports

ROOT = Path(__file__).resolve().parents[3]


def start(home, port, *more):
    command = [
        sys.executable,
        "-m",
        "brokers.sim",
        "--broker",
        "dhan",
        "--port",
        str(port),
        "--home",
        str(home),
    ]
    return subprocess.Popen([*command, *more], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def ready(process, port):
    url = f"http://127.0.0.1:{port}/_sim/health"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    pytest.fail("not ready within 30 s")


@pytest.fixture
def sim(tmp_path):
    port = free_ports(1)[0]
    process = start(tmp_path, port, "--seed", "4")
    yield process, port, tmp_path
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=10)


def test_it_answers_health_and_stops_in_order_on_sigterm(sim):
    process, port, home = sim
    health = ready(process, port)
    assert (health["broker"], health["seed"], health["pid"]) == ("dhan", 4, process.pid)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - began < 2
    lines = [json.loads(line) for line in err.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert lines[-1]["message"] == "simulated dhan stopped"
    assert state_file(home, "dhan", 4).exists()


def test_a_taken_port_is_exit_3_and_one_line_naming_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start(tmp_path, port)
        _, err = done.communicate(timeout=30)
    assert done.returncode == 3
    (line,) = err.splitlines()
    assert str(port) in json.loads(line)["message"]


def test_a_foreign_state_file_is_exit_2(tmp_path):
    path = state_file(tmp_path, "dhan", 1)
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id TEXT)")
    done = start(tmp_path, free_ports(1)[0])
    _, err = done.communicate(timeout=30)
    assert done.returncode == 2
    assert path.name in json.loads(err.splitlines()[-1])["message"]


def test_another_seed_has_other_books(tmp_path):
    assert state_file(tmp_path, "dhan", 1) != state_file(tmp_path, "dhan", 2)
    assert state_file(tmp_path, "dhan", 1).parent == tmp_path / "db" / "sim"


@pytest.mark.parametrize(
    "wrong",
    [["--broker", "zerodha"], ["--hours", "sometimes"], ["--universe", "huge"], ["--port", "x"]],
    ids=str,
)
def test_wrong_use_is_exit_2(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--broker", "dhan", "--port", "1", "--home", "x", *wrong])
    assert caught.value.code == 2


def test_log_lines_are_json_without_credentials():
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        sim_log.setup(stream)
        logging.getLogger("x").warning("login with access_token=%s", "abcdefgh12345")
        try:
            raise RuntimeError("pin: 112233")
        except RuntimeError:
            logging.getLogger("x").exception("failed")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["logger"]) == ("WARNING", "x")
    assert "abcdefgh12345" not in first["message"]
    assert "RuntimeError" in second["exception"]
    assert "112233" not in second["exception"]
