"""From an OpenAlgo .env.kotak and .env.dhan to two running instances in three commands."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import SHARED_PORTS, Fleet
from tests.midnight import not_over_midnight
from tests.ports import free_ports
from tests.supervisor.setup.openalgo_home import HOOK, KEY, env_text, make_database
from tests.supervisor.setup.test_takeover import contents

pytestmark = pytest.mark.e2e
RUN_S = 40.0


@pytest.fixture
def openalgo(tmp_path: Path) -> Path:
    folder = tmp_path / "openalgo"
    folder.mkdir()
    shared = "".join(f"{n}={p}\n" for n, p in zip(SHARED_PORTS, free_ports(len(SHARED_PORTS)), strict=True))
    for broker in ("kotak", "dhan"):
        web, ws, zmq, sim = free_ports(4)
        text = env_text(broker, (web, ws, zmq), more=f"SIM_PORT={sim}\n{shared}")
        (folder / f".env.{broker}").write_text(text)
    make_database(folder / "db" / "openalgo.db")
    return folder


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    not_over_midnight(RUN_S)
    home = tmp_path / "home"
    home.mkdir()
    one = Fleet(home)
    try:
        yield one
    finally:
        one.destroy()


def post(url: str, body: dict[str, object]) -> dict[str, object]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        plain = json.load(answer)
    assert isinstance(plain, dict)
    return plain


def test_three_commands_and_the_key_and_the_webhook_go_on(openalgo: Path, fleet: Fleet) -> None:
    before = contents(openalgo)
    fleet.ok("init", "kotak", "--from", str(openalgo / ".env.kotak"))
    fleet.ok("init", "dhan", "--from", str(openalgo / ".env.dhan"))
    fleet.ok("up", "kotak", "dhan", "--sim", "-d")

    rows = fleet.status()["instances"]
    assert {row["name"]: row["state"] for row in rows} == {"kotak": "ready", "dhan": "ready"}
    for row in rows:
        web = f"http://127.0.0.1:{port_of(fleet.home, row['name'])}"
        assert post(f"{web}/api/v1/funds", {"apikey": KEY})["status"] == "success"
        alert = {"symbol": "SBIN", "action": "BUY", "position_size": "1"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(f"{web}/strategy/webhook/{HOOK.replace('1', '9')}", alert)
        assert refused.value.code == 404
        strategies = json.loads(fleet.ok("strategy", "list", row["name"], "--json"))
        assert HOOK in {strategy["webhook_id"] for strategy in strategies}
    assert contents(openalgo) == before
    shutil.rmtree(openalgo)
    assert fleet.status()["instances"][0]["state"] == "ready", "nothing of OpenAlgo's is in use"


def port_of(home: Path, name: str) -> str:
    lines = (home / "instances" / f"{name}.env").read_text().splitlines()
    return next(line.split("=")[1].strip("'") for line in lines if line.startswith("FLASK_PORT"))
