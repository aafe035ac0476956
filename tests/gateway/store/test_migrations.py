"""A file of an earlier version is brought along: nothing lost, whatever interrupts it."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import gateway.compose  # noqa: F401 - every table of a main database is known once it is imported
from brokers.clock import SystemClock
from brokers.errors import SettingsError, StoreError
from brokers.model import Venue
from brokers.secret import Secret
from gateway.keys import Keys
from gateway.latency.tables import METADATA as LATENCY
from gateway.sandbox.books import tables as sandbox_tables
from gateway.scopes import ALL
from gateway.store import engine, migrations
from gateway.store.users import Users
from tests.clients import ROOT

V1 = Path(__file__).parent / "data" / "v1.sql"
KEY = "d68b39fe43b7f523de3993248402b14b1361a6d5bac5b2dfc47067222793d9ce"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as the first version left it, in WAL mode as it was."""
    path = tmp_path / "db" / "one.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(V1.read_text())
    return path


def schema(path: Path) -> dict[str, str]:
    """Name -> its SQL, blanks evened out, without the instrument tables, which are swapped whole."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", " ", sql) for name, sql in rows if "instruments" not in name}


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def test_a_file_of_the_first_version_opens_with_everything_it_held(old: Path) -> None:
    held = {t: rows(old, t) for t in ("orders", "order_events", "api_keys", "users", "broker_sessions", "kv")}
    database = engine.open(old, Venue.SIM)
    assert Keys(database, Secret("d4" * 32), SystemClock()).verify(KEY) is not None
    assert Users(database, SystemClock()).verify("owner", "a long pass phrase 1")
    kept_rows = {table: rows(old, table) for table in held}
    # a key of a version without scopes keeps every right
    assert kept_rows.pop("api_keys") == [(*row, "*") for row in held["api_keys"]]
    assert kept_rows == {table: found for table, found in held.items() if table != "api_keys"}
    assert [key.scopes for key in Keys(database, Secret("d4" * 32), SystemClock()).list()] == [ALL]
    database.close()
    assert dict(rows(old, "meta"))["version"] == str(engine.VERSION)
    kept = old.with_name(f"one.db.before-{engine.VERSION}")
    assert kept.stat().st_mode & 0o077 == 0
    assert {table: rows(kept, table) for table in held} == held
    assert dict(rows(kept, "meta"))["version"] == "1"


def test_an_upgraded_file_has_the_same_tables_as_a_new_one(old: Path, tmp_path: Path) -> None:
    engine.open(old, Venue.SIM).close()
    engine.open(tmp_path / "new.db", Venue.SIM).close()
    upgraded, fresh = schema(old), schema(tmp_path / "new.db")
    assert upgraded.keys() == fresh.keys()
    columns = {n: (columns_of(old, n), columns_of(tmp_path / "new.db", n)) for n in fresh}
    assert {n: pair for n, pair in columns.items() if pair[0] != pair[1]} == {}


def columns_of(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(f"PRAGMA table_info('{table}')").fetchall()
        unique = connection.execute(f"PRAGMA index_list('{table}')").fetchall()
        foreign = connection.execute(f"PRAGMA foreign_key_list('{table}')").fetchall()
    return [*found, *sorted((row[2], row[3]) for row in unique), *foreign]


def test_a_file_without_keys_is_brought_along_too(tmp_path: Path) -> None:
    path = tmp_path / "latency.db"
    engine.open(path, Venue.SIM, metadata=LATENCY, durable=False).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '1' WHERE name = 'version'")
        connection.commit()
    engine.open(path, Venue.SIM, metadata=LATENCY, durable=False).close()
    assert dict(rows(path, "meta"))["version"] == str(engine.VERSION)


def test_every_version_has_its_step_and_tables_changed_since_the_newest_one_are_noticed() -> None:
    assert sorted(migrations.STEPS) == list(range(2, engine.VERSION + 1))
    path = Path(__file__).parent / "data" / f"columns_v{engine.VERSION}.txt"
    written = {line.split(":")[0]: line.split(":")[1].split() for line in path.read_text().splitlines()}
    today = {table.name: [c.name for c in table.columns] for table in sandbox_tables().sorted_tables}
    # a table made since needs neither a step nor a line here
    shown = {name: columns for name, columns in today.items() if name in written}
    assert shown == written, (
        "a table that exists was changed: raise engine.VERSION, write gateway/store/migrations/vN.py, "
        "and a new columns_vN.txt beside this test"
    )


def test_killed_anywhere_it_ends_as_if_nothing_had_happened(old: Path, tmp_path: Path) -> None:
    """By hand with 1 instead of 9: 279 deaths. They need no disk, where there is RAM."""
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # one file to copy
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if os.access(ram, os.W_OK) else tmp_path) as folder:
        argv = [sys.executable, "-m", "tests.gateway.store.kill_upgrade", str(old), folder, "9"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200, "lines"


def test_a_step_that_fails_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [rows(old, "orders"), rows(old, "meta"), schema(old)]
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE filler (x)")
        connection.execute("CREATE INDEX gtts_state ON filler (x)")
        connection.execute("CREATE VIEW gtt_events AS SELECT 1 AS gtt_id")
        connection.commit()
    with pytest.raises(
        StoreError, match=f"could not be brought from version 1 to {engine.VERSION}.*nothing is lost"
    ):
        engine.open(old, Venue.SIM)
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DROP VIEW gtt_events")
        connection.execute("DROP TABLE filler")
        connection.commit()
    assert [rows(old, "orders"), rows(old, "meta"), schema(old)] == before
    engine.open(old, Venue.SIM).close()


@pytest.mark.parametrize(
    ("statement", "venue", "said"),
    [
        ("UPDATE meta SET value = '99' WHERE name = 'version'", Venue.SIM, "use the newer program"),
        ("UPDATE meta SET value = 'other' WHERE name = 'schema'", Venue.SIM, "left as it is"),
        ("SELECT 1", Venue.LIVE, "belongs to venue 'sim'"),
    ],
)
def test_newer_foreign_and_other_venue_files_are_not_touched(
    old: Path, statement: str, venue: Venue, said: str
) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute(statement)
        connection.commit()
    before = old.read_bytes()
    with pytest.raises(SettingsError, match=said):
        engine.open(old, venue)
    assert old.read_bytes() == before
    assert not list(old.parent.glob("*before*"))


def test_a_reader_waits_for_the_upgrade(old: Path) -> None:
    with pytest.raises(StoreError, match="older version"):
        engine.open(old, Venue.SIM, read_only=True)
    assert dict(rows(old, "meta"))["version"] == "1"
    engine.open(old, Venue.SIM).close()
    engine.open(old, Venue.SIM, read_only=True).close()


def test_what_it_needs_is_not_loaded_when_nothing_is_due(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from brokers.model import Venue; from gateway.store import engine; "
        "engine.open(pathlib.Path(sys.argv[1]), Venue.SIM).close(); "
        "engine.open(pathlib.Path(sys.argv[1]), Venue.SIM).close(); print('alembic' in sys.modules)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "new.db")]
    assert subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
