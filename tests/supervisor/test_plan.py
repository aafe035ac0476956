"""Which processes, in which order, and every clash in one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import Settings, load
from supervisor import plan
from supervisor.setup import envfile


def make(
    home: Path, name: str, broker: str | None = None, venue: Venue = Venue.SIM, **extra: str
) -> Settings:
    path = envfile.create(home, name, broker)
    text = path.read_text()
    for key, value in extra.items():
        lines = [line for line in text.splitlines() if not line.startswith(f"{key}=")]
        text = "\n".join([*lines, f"{key}={value}"]) + "\n"
    path.write_text(text)
    return load(home, name, venue)


def test_each_instance_has_its_api_and_feed_behind_its_brokers_simulator(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan")]
    specs = plan.ordered(plan.children(pair, plan.UpOptions()))
    keys = [s.key for s in specs]
    assert sorted(keys) == ["dhan.api", "dhan.feed", "kotak.api", "kotak.feed", "sim.dhan", "sim.kotak"]
    for name in ("kotak", "dhan"):
        assert keys.index(f"sim.{name}") < keys.index(f"{name}.api") < keys.index(f"{name}.feed")


def test_two_instances_of_a_broker_share_its_simulator(tmp_path: Path) -> None:
    pair = [make(tmp_path, "dhan"), make(tmp_path, "dhan2", "dhan")]
    plan.check_clashes(pair)
    keys = [s.key for s in plan.children(pair, plan.UpOptions())]
    assert keys.count("sim.dhan") == 1


def test_two_ports_for_one_simulator_are_refused_where_it_runs(tmp_path: Path) -> None:
    make(tmp_path, "dhan", SIM_PORT="9101", DHAN_CLIENT_ID="1100000001")
    make(tmp_path, "dhan2", "dhan", SIM_PORT="9102", DHAN_CLIENT_ID="1100000002")
    with pytest.raises(SettingsError, match="share one simulated broker"):
        plan.check_clashes([load(tmp_path, name, Venue.SIM) for name in ("dhan", "dhan2")])
    plan.check_clashes([load(tmp_path, name, Venue.LIVE) for name in ("dhan", "dhan2")])


def test_live_instances_start_no_simulator(tmp_path: Path) -> None:
    one = make(tmp_path, "dhan", venue=Venue.LIVE, DHAN_CLIENT_ID="1100000001")
    keys = [s.key for s in plan.children([one], plan.UpOptions())]
    assert keys == ["dhan.api", "dhan.feed"]


def test_options_reach_the_processes(tmp_path: Path) -> None:
    options = plan.UpOptions(symbols=("SBIN", "NFO:X"), sim_universe="full", sim_hours="nse", sim_seed=7)
    assert plan.UpOptions.from_plain(options.to_plain()) == options
    by_key = {s.key: s.argv for s in plan.children([make(tmp_path, "dhan")], options)}
    assert "SBIN,NFO:X" in by_key["dhan.feed"]
    assert {"full", "nse", "7"} <= set(by_key["sim.dhan"])
    assert "nse" in by_key["dhan.api"]


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("FLASK_PORT", "5000", "port 5000"),
        ("WEBSOCKET_PORT", "5555", "port 5555"),
        ("SESSION_COOKIE_NAME", "session_kotak", "cookie session_kotak"),
        ("CSRF_COOKIE_NAME", "session_kotak", "cookie session_kotak"),
    ],
)
def test_a_clash_names_both_files_and_lines(tmp_path: Path, setting: str, value: str, said: str) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan", **{setting: value})]
    with pytest.raises(SettingsError) as caught:
        plan.check_clashes(pair)
    assert said in str(caught.value)
    assert "instances/kotak.env" in str(caught.value)
    assert "instances/dhan.env line" in str(caught.value)


def test_a_copied_env_file_shows_every_clash_at_once_and_no_secret(tmp_path: Path) -> None:
    one = make(tmp_path, "kotak", venue=Venue.SIM)
    copy = tmp_path / "instances" / "copy.env"
    copy.write_text((tmp_path / "instances" / "kotak.env").read_text())
    copy.chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        plan.check_clashes([one, load(tmp_path, "copy", Venue.SIM)])
    said = str(caught.value)
    for what in ("port 5000", "port 8765", "port 5555", "APP_KEY", "API_KEY_PEPPER"):
        assert what in said
    assert one.app_key.reveal() not in said


def test_a_port_used_twice_inside_one_file_is_a_clash(tmp_path: Path) -> None:
    one = make(tmp_path, "dhan", ZMQ_PORT="5001")
    with pytest.raises(SettingsError, match="port 5001"):
        plan.check_clashes([one])


def test_shared_databases_are_a_clash(tmp_path: Path) -> None:
    live = {"venue": Venue.LIVE, "DATABASE_URL": "sqlite:///db/one.db"}
    pair = [
        make(tmp_path, "dhan", DHAN_CLIENT_ID="1100000001", **live),
        make(tmp_path, "dhan2", "dhan", DHAN_CLIENT_ID="1100000002", **live),
    ]
    with pytest.raises(SettingsError, match=r"database .*one\.db"):
        plan.check_clashes(pair)
