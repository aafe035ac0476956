"""Wrong use and wrong settings: one line, exit code 2, nothing started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    (tmp_path / "instances").mkdir()
    try:
        yield one
    finally:
        one.destroy()


def refused(home: Fleet, *words: str) -> str:
    done = home.algo(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert home.processes() == []
    [line] = done.stderr.strip().splitlines()
    return line


def test_an_unknown_instance(home: Fleet) -> None:
    assert "instances/nope.env does not exist" in refused(home, "up", "nope", "--sim", "-d")


def test_a_missing_env_file_without_sim(home: Fleet) -> None:
    assert "algo init dhan" in refused(home, "up", "dhan", "-d")


def test_placeholder_credentials(home: Fleet) -> None:
    home.init("dhan")
    said = refused(home, "up", "dhan", "-d")
    assert "YOUR_DHAN_CLIENT_ID" in said
    assert "--sim" in said


def test_an_occupied_port_names_its_holder(home: Fleet) -> None:
    home.init("dhan")
    port = home.ports["dhan"]["ZMQ_PORT"]
    with socket.create_server(("127.0.0.1", port)):
        said = refused(home, "up", "dhan", "--sim", "-d")
    assert f"port {port} (ZMQ_PORT, instances/dhan.env line" in said
    assert f"(pid {os.getpid()})" in said


def test_two_instances_with_one_port(home: Fleet) -> None:
    home.init("kotak", "dhan")
    path = home.home / "instances" / "dhan.env"
    theirs = home.ports["kotak"]["FLASK_PORT"]
    path.write_text(path.read_text().replace(str(home.ports["dhan"]["FLASK_PORT"]), str(theirs)))
    said = refused(home, "up", "kotak", "dhan", "--sim", "-d")
    assert f"port {theirs} is used twice" in said
    assert "instances/kotak.env line" in said
    assert "instances/dhan.env line" in said


def test_no_instance_at_all(home: Fleet) -> None:
    done = home.algo("up")
    assert done.returncode == 2
    assert "algo up kotak dhan --sim" in done.stderr


def test_a_missing_file_of_a_known_broker_is_made_for_sim_and_its_databases_refuse_live(home: Fleet) -> None:
    home.init("dhan")
    done = home.algo("up", "dhan", "--sim", "-d")
    assert done.returncode == 0, (done.stdout, done.stderr, home.tails())
    home.ok("down")
    until(lambda: not home.processes(), 10, "all processes gone")
    path = home.home / "instances" / "dhan.env"
    text = path.read_text().replace("YOUR_DHAN_CLIENT_ID", "1100000001")
    path.write_text(
        text
        + "DHAN_ACCESS_TOKEN=aaaa.bbbb.cccc\nDATABASE_URL=sqlite:///db/sim/openalgo_dhan.db\n"
        + "DHAN_REST_URL=http://127.0.0.1:9/v2\nDHAN_AUTH_URL=http://127.0.0.1:9\n"
        + "DHAN_FEED_URL=ws://127.0.0.1:9\nDHAN_ORDER_UPDATES_URL=ws://127.0.0.1:9\n"
        + "DHAN_INSTRUMENTS_URL=http://127.0.0.1:9/x.csv\n"
    )
    done = home.algo("up", "dhan", "-d")
    assert done.returncode in (1, 2)
    assert "sim" in done.stderr
    assert "openalgo_dhan.db" in done.stderr
