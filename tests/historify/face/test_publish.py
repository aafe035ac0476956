"""The file people open: always readable, never in the way of whoever has it open, never somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import duckdb
import pytest

from brokers.clock import ManualClock
from historify.errors import ForeignStore, StoreDamaged
from historify.face.detect import Kind, inspect
from historify.face.publish import Face, State
from historify.model import Series
from tests.clients import client_python
from tests.historify.reader.stores import at, days, minutes

SBIN = Series("NSE", "SBIN", "1m")
TEN = ["symbol", "exchange", "interval", "timestamp", "open", "high", "low", "close", "volume", "oi"]

HOLD = """
import sys, duckdb
c = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "ro")
print(c.execute("SELECT count(*) FROM market_data").fetchone()[0], flush=True)
sys.stdin.readline()
print(c.execute("SELECT count(*) FROM market_data").fetchone()[0], flush=True)
"""


ASK = """
import sys, json, duckdb
alone = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
c = duckdb.connect(sys.argv[1], config=alone)
answer = [duckdb.__version__]
for sql in (
    "SELECT count(*) FROM market_data",
    "SELECT count(*) FROM bars_1m",
    "SELECT count(*) FROM bars_d",
    "SELECT count(*) FROM market_data WHERE symbol = 'M&M' AND exchange = 'NSE'",
    "SELECT sum(record_count)::BIGINT FROM data_catalog",
    "SELECT count(*) FROM duckdb_extensions() WHERE installed AND install_mode <> 'STATICALLY_LINKED'",
):
    answer.append(c.execute(sql).fetchone()[0])
print(json.dumps(answer))
"""


class Holder:
    """Another program with the face open."""

    def __init__(self, path, mode):
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = int(self._process.stdout.readline())

    def leave(self):
        """How many bars it sees at last."""
        answer, _ = self._process.communicate("\n", timeout=20)
        return int(answer)

    def kill(self):
        self._process.kill()
        self._process.communicate(timeout=20)


@pytest.fixture
def face(store):
    return Face(store.paths, store.control, ManualClock(datetime(2026, 11, 20, 18, tzinfo=UTC)))


def query(path, sql):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def fill(store):
    store.add(SBIN, minutes("2026-11-02", "09:15", 375))
    store.add(Series("NSE", "M&M", "D"), days([("2026-11-02", 7)]))
    store.add(Series("BSE", "500325", "D"), days([("2026-11-02", 8)]))


def test_it_shows_every_bar_with_the_ten_columns(store, face):
    fill(store)
    assert face.publish().state is State.PUBLISHED
    path = store.paths.face
    assert [row[0] for row in query(path, "DESCRIBE market_data")] == TEN
    assert query(
        path, "SELECT symbol, exchange, interval, count(*) FROM market_data GROUP BY ALL ORDER BY ALL"
    ) == [
        ("500325", "BSE", "D", 1),
        ("M&M", "NSE", "D", 1),
        ("SBIN", "NSE", "1m", 375),
    ]
    assert query(path, "SELECT min(timestamp), min(open) FROM market_data WHERE symbol = 'SBIN'") == [
        (at("2026-11-02", "09:15"), 100.0)
    ]
    assert str(query(path, "SELECT min(time_ist) FROM bars_1m")[0][0]) == "2026-11-02 09:15:00"
    assert str(query(path, "SELECT date FROM bars_d WHERE symbol = 'M&M'")[0][0]) == "2026-11-02"
    assert query(path, "SELECT record_count FROM data_catalog ORDER BY 1") == [(1,), (1,), (375,)]
    for table in ("segment", "watchlist", "symbol_metadata", "download_jobs"):
        query(path, f"SELECT * FROM {table}")
    assert path.stat().st_size < 1_000_000


def test_a_symbol_of_digits_stays_text(store, face):
    store.add(Series("BSE", "500325", "D"), days([("2026-11-02", 8)]))
    face.publish()
    assert query(store.paths.face, "SELECT symbol FROM market_data") == [("500325",)]


def test_an_empty_store_has_a_face_too(store, face):
    face.publish()
    assert query(store.paths.face, "SELECT * FROM market_data UNION ALL BY NAME FROM bars_1m") == []


def test_jobs_and_watchlists_are_copied(store, face):
    with store.control.transaction() as tx:
        tx.execute("INSERT INTO watchlist(name, exchange, symbol, added_at) VALUES('mine', 'NSE', 'SBIN', 0)")
    face.publish()
    assert query(store.paths.face, "SELECT name, symbol FROM watchlist") == [("mine", "SBIN")]


def test_it_is_due_when_the_bars_or_the_file_changed(store, face):
    assert face.due()
    face.publish()
    assert not face.due()
    assert face.publish().state is State.CURRENT
    fill(store)
    assert face.due()
    face.publish()
    store.paths.face.unlink()
    assert face.due()
    face.publish()
    with duckdb.connect(str(store.paths.face)) as connection:
        connection.execute("DROP VIEW market_data")
        connection.execute("CREATE TABLE mine AS SELECT 1 AS x")
    assert face.due()
    face.publish()
    assert len(query(store.paths.face, "SELECT * FROM market_data")) == 377
    with store.control.read() as connection:
        assert connection.execute("SELECT number FROM face").fetchone() == (4,)


def test_a_face_somebody_writes_to_waits_and_disturbs_nobody(store, face):
    fill(store)
    face.publish()
    holder = Holder(store.paths.face, "rw")
    store.add(SBIN, minutes("2026-11-03", "09:15", 5))
    inode = store.paths.face.stat().st_ino
    waiting = face.publish()
    assert waiting.state is State.HELD
    assert "historify.duckdb" in waiting.detail
    assert store.paths.face.stat().st_ino == inode
    assert face.due()
    assert holder.leave() == 377
    assert face.publish().state is State.PUBLISHED
    assert query(store.paths.face, "SELECT count(*) FROM market_data") == [(382,)]


def test_a_face_somebody_reads_is_replaced_under_them(store, face):
    fill(store)
    face.publish()
    holder = Holder(store.paths.face, "ro")
    store.add(SBIN, minutes("2026-11-03", "09:15", 5))
    assert face.publish().state is State.PUBLISHED
    assert query(store.paths.face, "SELECT count(*) FROM market_data") == [(382,)]
    assert holder.leave() == 377


def test_the_log_of_a_program_that_died_does_not_replay_into_the_next_face(store, face):
    face.publish()
    path = store.paths.face
    script = (
        "import sys, os, duckdb; c = duckdb.connect(sys.argv[1]);"
        "c.execute('PRAGMA disable_checkpoint_on_shutdown');"
        "c.execute('CREATE TABLE mine AS SELECT 1'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    wal = path.with_name(path.name + ".wal")
    assert wal.exists()
    fill(store)
    face.publish()
    assert not wal.exists()
    assert query(path, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == [(0,)]


def make(path, *statements):
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


OPENALGO = (
    "CREATE TABLE market_data(symbol VARCHAR, exchange VARCHAR, interval VARCHAR, timestamp BIGINT, "
    "open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume BIGINT, oi BIGINT, created_at TIMESTAMP)"
)


@pytest.mark.parametrize(
    ("lay", "kind"),
    [
        (lambda path: None, Kind.ABSENT),
        (lambda path: path.touch(), Kind.EMPTY),
        (lambda path: make(path), Kind.EMPTY),
        (lambda path: make(path, OPENALGO), Kind.OPENALGO),
        (lambda path: make(path, "CREATE TABLE recipes(name VARCHAR)"), Kind.FOREIGN),
        (lambda path: make(path, "CREATE TABLE market_data(price DOUBLE)"), Kind.FOREIGN),
        (lambda path: path.write_bytes(b"SQLite format 3\0" * 99), Kind.FOREIGN),
        (lambda path: path.mkdir(), Kind.FOREIGN),
        (lambda path: path.write_bytes(b"12345678DUCK" + b"\1" * 20_000), Kind.UNREADABLE),
    ],
)
def test_what_lies_at_the_path_is_recognised_and_not_changed(store, face, lay, kind):
    path = store.paths.face
    lay(path)
    content = path.read_bytes() if path.is_file() else None
    assert inspect(path).kind is kind
    if kind in (Kind.ABSENT, Kind.EMPTY):
        assert face.publish().state is State.PUBLISHED
        assert inspect(path).kind is Kind.OURS
        return
    with pytest.raises(ForeignStore, match="nothing was changed"):
        face.publish()
    if content is not None:
        assert path.read_bytes() == content


def test_a_face_of_ours_that_rotted_is_put_aside(store, face):
    face.publish()
    store.paths.face.write_bytes(b"12345678DUCK" + b"\1" * 20_000)
    face.publish()
    assert inspect(store.paths.face).kind is Kind.OURS
    assert [path.stat().st_size for path in store.paths.face.parent.glob("*.unreadable-*")] == [20_012]


def test_a_file_held_by_a_writer_is_told_apart(store, face):
    face.publish()
    holder = Holder(store.paths.face, "rw")
    assert inspect(store.paths.face).kind is Kind.HELD
    holder.kill()
    assert inspect(store.paths.face).kind is Kind.OURS


def test_a_missing_segment_leaves_the_old_face_and_says_which(store, face):
    fill(store)
    face.publish()
    before = store.paths.face.read_bytes()
    bad = store.add(Series("BSE", "AAA", "1m"), minutes("2026-11-03", "09:15", 5))
    store.file(bad).unlink()
    with pytest.raises(StoreDamaged, match="BSE:AAA 1m"):
        face.publish()
    assert store.paths.face.read_bytes() == before
    assert not list(store.paths.face.parent.glob(".*.new*"))


@pytest.mark.client
def test_the_oldest_duckdb_opens_it_from_anywhere(store, face, tmp_path_factory):
    fill(store)
    face.publish()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ran = subprocess.run(
        [str(client_python("duckdb")), "-c", ASK, str(store.paths.face)],
        cwd=elsewhere, capture_output=True, text=True, check=False, env={"HOME": str(elsewhere)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ["1.3.0", 377, 375, 2, 1, 377, 0]


def test_the_views_can_be_pointed_at_a_moved_folder(store, face):
    fill(store)
    face.publish()
    moved = store.paths.root.with_name("moved.d")
    store.control.close()
    os.rename(store.paths.root, moved)
    with duckdb.connect(str(store.paths.face), read_only=True) as connection:
        with pytest.raises(duckdb.IOException):
            connection.execute("SELECT count(*) FROM market_data")
        connection.execute(f"SET VARIABLE historify_root = '{moved}'")
        assert connection.execute("SELECT count(*) FROM market_data").fetchone() == (377,)
