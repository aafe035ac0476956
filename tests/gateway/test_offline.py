"""Loopback calls to an instance that is down: the same answers, inside its lock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from brokers.model import Venue
from gateway.settings import load
from gateway.store import engine
from supervisor.setup import envfile


def call(home: Path, method: str, path: str, body: Any = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "gateway", "call", "--home", str(home), "--instance", "dhan"]
    argv += ["--venue", "sim", "--method", method, "--path", path]
    return subprocess.run(argv, input=json.dumps(body or {}), capture_output=True, text=True, timeout=60)


def answer(done: subprocess.CompletedProcess[str]) -> tuple[int, Any]:
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    return plain["status"], plain["body"]


def test_keys_are_made_listed_and_revoked_without_a_running_process(tmp_path: Path) -> None:
    envfile.create(tmp_path, "dhan", None)
    status, made = answer(call(tmp_path, "POST", "/internal/keys", {"label": "mine"}))
    assert status == 200
    assert len(made["key"]) == 64
    status, listed = answer(call(tmp_path, "GET", "/internal/keys"))
    assert [(row["id"], row["label"]) for row in listed["keys"]] == [(made["id"], "mine")]
    assert made["key"] not in json.dumps(listed)
    assert answer(call(tmp_path, "DELETE", f"/internal/keys/{made['id']}"))[0] == 200
    assert answer(call(tmp_path, "DELETE", f"/internal/keys/{made['id']}"))[0] == 404


def test_a_running_process_keeps_its_lock(tmp_path: Path) -> None:
    envfile.create(tmp_path, "dhan", None)
    one = load(tmp_path, "dhan", Venue.SIM)
    database = engine.open(one.databases.main, Venue.SIM)
    try:
        done = call(tmp_path, "GET", "/internal/keys")
    finally:
        database.close()
    assert done.returncode == 1
    assert "openalgo_dhan.db" in done.stderr


def test_wrong_settings_are_exit_code_2(tmp_path: Path) -> None:
    done = call(tmp_path, "GET", "/internal/keys")
    assert done.returncode == 2
    assert "algo init dhan" in done.stderr


def test_an_instrument_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    envfile.create(tmp_path, "dhan", None)
    missing = str(tmp_path / "none.csv")
    status, body = answer(call(tmp_path, "POST", "/internal/instruments/sync", {"csv": [missing]}))
    assert status == 400
    assert missing in body["message"]
