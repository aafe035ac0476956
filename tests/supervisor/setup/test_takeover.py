"""From an OpenAlgo folder to instances: nothing of it is written, what strategies use goes on working."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from brokers.clock import SystemClock
from brokers.errors import SettingsError
from brokers.model import Venue
from gateway import settings as gateway_settings
from gateway.keys import Keys
from gateway.settings import EnvFile, databases
from gateway.store import engine
from gateway.store.strategies import Strategies
from supervisor.commands import init as command
from supervisor.plan import check_clashes
from supervisor.setup import envfile, openalgo
from tests.supervisor.setup.openalgo_home import (
    CHARTINK_HOOK,
    HOOK,
    KEY,
    env_text,
    make_database,
    sealed,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "openalgo"
    found.mkdir()
    for broker in ("kotak", "dhan"):
        (found / f".env.{broker}").write_text(env_text(broker))
    (found / ".sample.env").write_text("APP_KEY = 'YOUR_KEY'\n")
    make_database(found / "db" / "openalgo.db")
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    found.mkdir()
    return found


def run(home: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(command.init, list(words), obj=home, input=typed, catch_exceptions=False)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_a_folder_becomes_two_instances_apart_and_is_left_as_it_was(folder: Path, home: Path) -> None:
    before = contents(folder)
    os.chmod(folder / "db", 0o500)
    said = run(home, "--from", str(folder)).output
    os.chmod(folder / "db", 0o700)
    assert contents(folder) == before
    both = [gateway_settings.load(home, name, Venue.SIM) for name in ("kotak", "dhan")]
    check_clashes(both)
    kotak, dhan = both
    # the files come in the order of their names
    assert (dhan.port, dhan.ws_port, dhan.session_cookie) == (5000, 8765, "session")
    assert (kotak.port, kotak.ws_port, kotak.session_cookie) != (5000, 8765, "session")
    assert kotak.public_url == f"http://127.0.0.1:{kotak.port}"
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in (home / "instances").iterdir())
    for word in ("FLASK_PORT is", "APP_KEY is fresh", "KOTAK_MPIN is not set yet", "API key goes on working"):
        assert word in said
    live = databases(home, "kotak", Venue.LIVE)
    assert len({live.main, databases(home, "dhan", Venue.LIVE).main}) == 2
    assert all(path.is_relative_to(home) for path in live.sqlite().values())


@pytest.fixture
def taken(folder: Path, home: Path) -> Path:
    run(
        home,
        "dhan",
        "--from",
        str(folder / ".env.dhan"),
        "--set",
        "DHAN_ACCESS_TOKEN=it's a 'token' # really",
    )
    return home


@pytest.fixture(params=list(Venue))
def database(taken: Path, request: pytest.FixtureRequest) -> Iterator[engine.Database]:
    found = engine.open(databases(taken, "dhan", request.param).main, request.param, read_only=True)
    yield found
    found.close()


def test_keys_webhooks_and_strategies_go_on(taken: Path, database: engine.Database) -> None:
    pepper = gateway_settings.load(taken, "dhan", Venue.SIM).pepper
    keys = Keys(database, pepper, SystemClock())
    row = keys.verify(KEY)
    assert row is not None
    assert row.label == "from OpenAlgo"
    assert keys.verify("5e" * 32) is None
    strategies = Strategies(database, SystemClock())
    nifty = strategies.by_webhook(HOOK)
    assert nifty is not None
    assert nifty.hours is not None
    assert (nifty.name, nifty.mode.value, f"{nifty.hours.square_off:%H:%M}") == ("Nifty", "BOTH", "15:15")
    assert {str(m.key): (m.quantity, m.product.value) for m in nifty.symbols} == {
        "NSE:SBIN": (5, "MIS"),
        "NSE:RELIANCE": (2, "MIS"),
    }
    second = strategies.get("Nifty 2")
    assert (second.active, second.platform, second.hours) == (False, "other", None)
    assert [m.quantity for m in second.symbols] == [1]
    scan = strategies.by_webhook(CHARTINK_HOOK)
    assert scan is not None
    assert scan.path == f"/chartink/webhook/{CHARTINK_HOOK}"
    assert len(strategies.all()) == 3, "the one whose hours make no sense is left out"


def test_what_could_not_be_taken_is_said(folder: Path, home: Path) -> None:
    said = run(home, "dhan", "--from", str(folder / ".env.dhan")).output
    assert "strategy 'Odd' was not taken over: start 15:00 must be before end 09:20" in said
    assert "'Nifty': INFY x 3 was left out" in said
    assert KEY not in said


def test_a_value_with_odd_characters_is_read_back(taken: Path) -> None:
    env = EnvFile.read(taken / "instances" / "dhan.env", taken)
    assert env.values["DHAN_ACCESS_TOKEN"] == "it's a 'token' # really"


@pytest.mark.parametrize(
    ("encrypted", "ends"),
    [
        (sealed(KEY, pepper="e5" * 32), "cannot be decrypted"),
        ("", "cannot be decrypted"),
        (sealed(KEY, salt=b"openalgo_static_salt"), None),
    ],
    ids=["another pepper", "nothing", "the first salt"],
)
def test_a_key_of_other_secrets_is_not_taken_and_one_of_the_first_salt_is(
    folder: Path, encrypted: str, ends: str | None
) -> None:
    (folder / "db" / "openalgo.db").unlink()
    make_database(folder / "db" / "openalgo.db", encrypted or "not a token")
    held = openalgo.holdings(openalgo.find(folder / ".env.dhan")[0])
    assert [key.reveal() for key in held.keys] == ([] if ends else [KEY])
    assert ends is None or ends in held.notes[0]


def test_rows_still_in_the_wal_are_read_and_the_side_files_stay(folder: Path) -> None:
    path = folder / "db" / "openalgo.db"
    with closing(sqlite3.connect(path)) as open_elsewhere:
        open_elsewhere.execute("PRAGMA journal_mode=WAL")
        open_elsewhere.execute("UPDATE api_keys SET order_mode = 'semi_auto'")
        open_elsewhere.commit()
        before = contents(folder)
        assert openalgo.holdings(openalgo.find(folder / ".env.dhan")[0]).semi_auto
        assert contents(folder) == before


def test_semi_auto_stays_semi_auto(folder: Path, home: Path) -> None:
    (folder / "db" / "openalgo.db").unlink()
    make_database(folder / "db" / "openalgo.db", order_mode="semi_auto")
    run(home, "dhan", "--from", str(folder / ".env.dhan"))
    assert gateway_settings.load(home, "dhan", Venue.SIM).order_mode == "semi_auto"


def test_no_database_another_kind_and_a_broken_one_are_said(folder: Path, home: Path) -> None:
    path = folder / "db" / "openalgo.db"
    path.write_bytes(b"not a database, " * 100)
    assert "cannot be read" in openalgo.holdings(openalgo.find(folder / ".env.dhan")[0]).notes[0]
    path.unlink()
    assert "does not exist" in openalgo.holdings(openalgo.find(folder / ".env.dhan")[0]).notes[0]
    (folder / ".env.dhan").write_text(
        env_text("dhan").replace("sqlite:///db/openalgo.db", "postgresql://h/d")
    )
    said = run(home, "dhan", "--from", str(folder / ".env.dhan")).output
    assert "not SQLite" in said
    assert databases(home, "dhan", Venue.LIVE).main.name == "openalgo_dhan.db"


def test_the_name_comes_from_the_file_else_from_the_broker_and_wrong_ones_are_refused(
    folder: Path, home: Path
) -> None:
    (folder / ".env").write_text(env_text("kotak"))
    assert [one.name for one in openalgo.find(folder / ".env")] == ["kotak"]
    assert [one.name for one in openalgo.find(folder)] == ["dhan", "kotak"]
    refused = run(home, "nobody", "--from", str(folder))
    assert refused.exit_code == 2
    assert "no .env.nobody there; found: dhan, kotak" in refused.output
    with pytest.raises(SettingsError, match=r"no \.env in"):
        openalgo.find(home)


def test_an_unknown_broker_and_an_existing_instance_write_nothing(folder: Path, home: Path) -> None:
    (folder / ".env.dhan").write_text(env_text("dhan").replace("/dhan/", "/zerodha/"))
    with pytest.raises(SettingsError, match="zerodha"):
        run(home, "mine", "--from", str(folder / ".env.dhan"))
    assert not (home / "instances").exists()
    path = envfile.create(home, "kotak", None)
    before = path.read_text()
    with pytest.raises(SettingsError, match="exists already"):
        run(home, "kotak", "--from", str(folder / ".env.kotak"))
    assert path.read_text() == before


def test_on_a_terminal_it_asks_and_says_where(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_on_terminal", lambda: True)
    said = run(home, "dhan", typed="1000000001\n").output
    assert "web.dhan.co, profile: the 10-digit client id" in said
    assert EnvFile.read(home / "instances" / "dhan.env", home).values["DHAN_CLIENT_ID"] == "1000000001"
    said = run(home, "kotak", typed="UCC1\n+919000000000\n\nsecret\n").output
    values = EnvFile.read(home / "instances" / "kotak.env", home).values
    assert (values["KOTAK_UCC"], values["BROKER_API_SECRET"]) == ("UCC1", "secret")
    assert values["KOTAK_MPIN"] == "YOUR_KOTAK_MPIN"
    assert "secret\n" not in said.replace("the access token", "")
