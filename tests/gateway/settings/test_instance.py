"""The env file: what is read, what is refused, and that the message names file and line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway import settings
from gateway.home import find_home
from gateway.settings import instance_names, load

GOOD = """BROKER=dhan
DHAN_CLIENT_ID=1100000001
DHAN_ACCESS_TOKEN=abc.def.ghi
APP_KEY={k1}
API_KEY_PEPPER={k2}
""".format(k1="a1" * 32, k2="b2" * 32)


def write(home: Path, name: str, text: str, mode: int = 0o600) -> Path:
    path = home / "instances" / f"{name}.env"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def refused(home: Path, text: str, name: str = "dhan", venue: Venue = Venue.LIVE) -> str:
    write(home, name, text)
    with pytest.raises(SettingsError) as caught:
        load(home, name, venue)
    return str(caught.value)


def test_everything_but_credentials_has_a_default(tmp_path: Path) -> None:
    write(tmp_path, "dhan", GOOD)
    one = load(tmp_path, "dhan", Venue.LIVE)
    assert (one.port, one.ws_port, one.zmq_port) == (5001, 8766, 5556)
    assert one.session_cookie == "session_dhan"
    assert one.databases.main == tmp_path / "db" / "openalgo_dhan.db"
    assert one.credentials["DHAN_CLIENT_ID"].reveal() == "1100000001"
    assert one.endpoints["rest"] == "https://api.dhan.co/v2"


def test_nothing_of_a_secret_is_printed(tmp_path: Path) -> None:
    write(tmp_path, "dhan", GOOD)
    shown = repr(load(tmp_path, "dhan", Venue.LIVE))
    assert "abc.def.ghi" not in shown
    assert "a1a1a1" not in shown


def test_sim_reads_no_credentials_and_only_loopback_addresses(tmp_path: Path) -> None:
    write(
        tmp_path, "dhan", GOOD.replace("abc.def.ghi", "YOUR_TOKEN") + "DHAN_REST_URL=https://evil.example\n"
    )
    one = load(tmp_path, "dhan", Venue.SIM)
    assert "DHAN_ACCESS_TOKEN" not in one.credentials
    assert all("//127.0.0.1:" in url for url in one.endpoints.values())
    assert all(tmp_path / "db" / "sim" in path.parents for path in one.databases.sqlite().values())
    assert one.databases.historify == tmp_path / "db" / "sim" / "historify.duckdb"
    assert one.log_dir == tmp_path / "db" / "sim" / "log"


def test_a_database_named_in_the_env_is_not_used_by_sim(tmp_path: Path) -> None:
    write(tmp_path, "dhan", GOOD + "DATABASE_URL=sqlite:////elsewhere/openalgo.db\n")
    assert load(tmp_path, "dhan", Venue.LIVE).databases.main == Path("/elsewhere/openalgo.db")
    assert load(tmp_path, "dhan", Venue.SIM).databases.main == tmp_path / "db" / "sim" / "openalgo_dhan.db"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ZMQ_PORT=99999", "instances/dhan.env line 6: ZMQ_PORT is 99999, expected 1-65535"),
        ("ZMQ_PORT=abc", "ZMQ_PORT is abc, expected 1-65535"),
        ("LOG_LEVEL=LOUD", "LOG_LEVEL is LOUD, expected one of"),
        ("ORDER_DEADLINE_SECONDS=never", "ORDER_DEADLINE_SECONDS is never"),
        ("APP_KEY=other", "line 6: APP_KEY is set again (first on line 4)"),
        ("SYMBOLS_FILE=missing.txt", "SYMBOLS_FILE missing.txt does not exist"),
    ],
)
def test_a_wrong_value_names_file_line_and_range(tmp_path: Path, line: str, said: str) -> None:
    assert said in refused(tmp_path, GOOD + line + "\n")


def test_a_placeholder_says_where_to_get_the_value_and_how_to_try_without(tmp_path: Path) -> None:
    said = refused(tmp_path, GOOD.replace("1100000001", "YOUR_DHAN_CLIENT_ID"))
    assert "instances/dhan.env line 2" in said
    assert "web.dhan.co" in said
    assert "--sim" in said


def test_missing_credentials_are_named(tmp_path: Path) -> None:
    said = refused(tmp_path, GOOD.replace("DHAN_CLIENT_ID=1100000001\n", ""))
    assert "DHAN_CLIENT_ID not set" in said


def test_openalgo_packed_credentials_are_understood(tmp_path: Path) -> None:
    text = GOOD.replace("DHAN_CLIENT_ID=1100000001", "BROKER_API_KEY=1100000001:::appkey")
    write(tmp_path, "dhan", text)
    assert load(tmp_path, "dhan", Venue.LIVE).credentials["DHAN_CLIENT_ID"].reveal() == "1100000001"


def test_kotak_aliases_and_retired_names(tmp_path: Path) -> None:
    text = GOOD.replace("BROKER=dhan", "BROKER=kotak_neo")
    text += "KOTAK_CONSUMER_KEY=token\nBROKER_API_KEY=ABC12\nKOTAK_MOBILE_NUMBER=+919000000000\n"
    text += "KOTAK_MPIN=123123\nKOTAK_PASSWORD=old\n"
    write(tmp_path, "k2", text)
    one = load(tmp_path, "k2", Venue.LIVE)
    assert one.broker == "kotak"
    assert one.credentials["BROKER_API_SECRET"].reveal() == "token"
    assert one.credentials["KOTAK_UCC"].reveal() == "ABC12"
    assert any("KOTAK_PASSWORD is retired" in w for w in one.warnings)


def test_the_broker_is_read_from_openalgos_redirect_url(tmp_path: Path) -> None:
    text = GOOD.replace("BROKER=dhan", "REDIRECT_URL=http://127.0.0.1:5000/dhan/callback")
    write(tmp_path, "second", text)
    assert load(tmp_path, "second", Venue.LIVE).broker == "dhan"


def test_an_unknown_broker_is_named_with_the_known_ones(tmp_path: Path) -> None:
    said = refused(tmp_path, GOOD.replace("BROKER=dhan", "BROKER=acme"))
    assert "unknown broker 'acme'; known: dhan, kotak" in said


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "dhan", GOOD, mode=0o644)
    with pytest.raises(SettingsError, match="chmod 600 instances/dhan.env"):
        load(tmp_path, "dhan", Venue.LIVE)


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="algo init dhan"):
        load(tmp_path, "dhan", Venue.LIVE)


@pytest.mark.parametrize("name", ["../x", "A", "", "a b", "1a", "x" * 40])
def test_a_name_that_is_no_instance_name_never_touches_the_disk(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is not an instance name"):
        load(tmp_path, name, Venue.LIVE)


def test_publicly_known_sample_keys_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = "c3" * 32
    digest = hashlib.sha256(known.encode()).hexdigest()
    monkeypatch.setattr(settings.envfile, "PUBLIC_SAMPLES", frozenset({digest}))
    assert "publicly known sample key" in refused(tmp_path, GOOD.replace("a1" * 32, known))
    assert len(settings.envfile.PUBLIC_SAMPLES) == 1


def test_short_or_placeholder_signing_secrets_are_refused(tmp_path: Path) -> None:
    assert "expected 32 or more" in refused(tmp_path, GOOD.replace("a1" * 32, "short"))
    said = refused(tmp_path, GOOD.replace("a1" * 32, "YOUR_FRESH_SECRET_FROM_algo_init"), venue=Venue.SIM)
    assert "missing or a placeholder" in said


def test_home_is_found_upward_then_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "instances").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.delenv("ALGO_HOME", raising=False)
    assert find_home(None, start=deep) == tmp_path
    monkeypatch.setenv("ALGO_HOME", str(deep))
    assert find_home(None, start=tmp_path) == deep
    assert find_home(str(tmp_path)) == tmp_path


def test_instances_are_listed_kotak_and_dhan_first(tmp_path: Path) -> None:
    for name in ("zz", "dhan", "kotak", "aa"):
        write(tmp_path, name, GOOD)
    write(tmp_path, "Not-One", GOOD)
    assert instance_names(tmp_path) == ["kotak", "dhan", "aa", "zz"]


def test_the_order_mode_and_the_public_address_have_defaults_and_checks(tmp_path: Path) -> None:
    write(tmp_path, "dhan", GOOD)
    one = load(tmp_path, "dhan", Venue.LIVE)
    assert (one.order_mode, one.public_url) == ("auto", one.url)
    write(tmp_path, "dhan", GOOD + "ORDER_MODE=semi_auto\nHOST_SERVER=https://trade.example/\n")
    one = load(tmp_path, "dhan", Venue.LIVE)
    assert (one.order_mode, one.public_url) == ("semi_auto", "https://trade.example")
    said = refused(tmp_path, GOOD + "ORDER_MODE=manual\n")
    assert "dhan.env line 6: ORDER_MODE is manual, expected one of auto, semi_auto" in said
