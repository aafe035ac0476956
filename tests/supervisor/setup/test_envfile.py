"""``algo init``: what it writes is what settings read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from brokers import registry
from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import load
from supervisor.setup import envfile, openalgo, takeover
from tests.clients import ROOT


@pytest.mark.parametrize("broker", registry.names())
def test_the_committed_examples_are_what_init_would_write(broker: str) -> None:
    committed = (ROOT / "instances" / f"{broker}.env.example").read_text()
    assert committed == envfile.example(registry.spec(broker))


def test_a_fresh_file_is_private_unique_and_loads_for_sim(tmp_path: Path) -> None:
    paths = [envfile.create(tmp_path, name, None) for name in ("kotak", "dhan")]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in paths)
    one, two = (load(tmp_path, name, Venue.SIM) for name in ("kotak", "dhan"))
    assert one.app_key != two.app_key
    assert one.pepper != two.pepper
    assert (one.port, two.port) == (5000, 5001)


def test_further_instances_take_the_next_free_step_whatever_the_order(tmp_path: Path) -> None:
    envfile.create(tmp_path, "a", "dhan")
    envfile.create(tmp_path, "kotak", None)
    envfile.create(tmp_path, "b", "kotak")
    ports = [load(tmp_path, n, Venue.SIM).port for n in ("kotak", "a", "b")]
    assert ports == [5000, 5002, 5003]


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = envfile.create(tmp_path, "dhan", None)
    before = path.read_text()
    with pytest.raises(SettingsError, match="exists already"):
        envfile.create(tmp_path, "dhan", None)
    assert path.read_text() == before


def test_a_value_goes_where_its_name_stands_commented_out_or_not_else_to_the_end() -> None:
    text = "A=1\n# B=2   # a default\n  #C=3\n"
    assert envfile.fill(text, {"B": "two", "C": "", "D": "a b"}) == "A=1\nB=two\nC=\nD='a b'\n"


def test_an_instances_own_ports_are_not_in_its_way(tmp_path: Path) -> None:
    envfile.create(tmp_path, "mine", "dhan")
    envfile.create(tmp_path, "other", "dhan")
    assert envfile.claimed_ports(tmp_path, "mine") == {5003, 8768, 5558}


def test_a_step_of_which_one_port_is_taken_is_left_out() -> None:
    assert envfile.next_ports({8767})["FLASK_PORT"] == 5003


def test_an_unknown_broker_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--broker"):
        envfile.create(tmp_path, "mine", None)


def test_an_openalgo_file_is_taken_over_with_its_own_values(tmp_path: Path) -> None:
    source = tmp_path / ".env.kotak"
    source.write_text(
        "BROKER_API_KEY = 'ABC12'\nBROKER_API_SECRET = 'token'\n"
        "REDIRECT_URL = 'http://127.0.0.1:5010/kotak/callback'\nFLASK_PORT='5010'\nWEBSOCKET_PORT='8775'\n"
        "ZMQ_PORT='5565'\nSESSION_COOKIE_NAME = 'session1'\nDATABASE_URL = 'sqlite:///db/openalgo.db'\n"
        "APP_KEY = 'YOUR_APP_KEY'\nAPI_KEY_PEPPER = '" + "d4" * 32 + "'\n"
        "KOTAK_MOBILE_NUMBER=+919000000000\nKOTAK_MPIN=123123\n"
    )
    made = takeover.draft(tmp_path, "mykotak", openalgo.find(source)[0])
    takeover.finish(tmp_path, "mykotak", made)
    one = load(tmp_path, "mykotak", Venue.LIVE)
    assert (one.broker, one.port, one.session_cookie) == ("kotak", 5010, "session1")
    assert one.pepper.reveal() == "d4" * 32
    assert len(one.app_key.reveal()) == 64
    assert "YOUR_APP_KEY" in source.read_text()
