"""A database file is opened by the right process of the right venue, and a write that returned is on disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError

from brokers.errors import SettingsError, StoreError
from brokers.model import Venue
from gateway.store import engine, kv
from gateway.store.database import CHECKPOINT_ROWS, GROUP
from gateway.store.tables import KV, ORDER_EVENTS, ORDERS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "one.db"


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM kv").fetchone()[0])


def test_a_new_file_is_stamped_and_closed_to_others(path):
    engine.open(path, Venue.SIM).close()
    with closing(sqlite3.connect(path)) as connection:
        stamp = dict(connection.execute("SELECT name, value FROM meta"))
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert stamp == {"schema": "algo", "version": str(engine.VERSION), "venue": "sim"}
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("made", "asked"), [(Venue.SIM, Venue.LIVE), (Venue.LIVE, Venue.SIM)])
@pytest.mark.parametrize("read_only", [True, False])
def test_the_other_venue_is_refused_and_no_byte_changes(path, made, asked, read_only):
    engine.open(path, made).close()
    path.with_name(path.name + ".lock").unlink()
    before = files(path.parent)
    with pytest.raises(SettingsError, match=f"venue '{made.value}'"):
        engine.open(path, asked, read_only=read_only)
    assert files(path.parent) == before


def foreign_plain(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
        connection.commit()


def foreign_wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE symtoken (id INTEGER)")
        connection.commit()


def foreign_meta(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('venue', 'sim')")
        connection.commit()


def not_sqlite(path: Path) -> None:
    path.write_text("a text file somebody named .db\n" * 50)


@pytest.mark.parametrize("make", [foreign_plain, foreign_wal, foreign_meta, not_sqlite])
def test_a_foreign_file_is_refused_and_no_byte_changes(path, make):
    path.parent.mkdir()
    make(path)
    before = files(path.parent)
    with pytest.raises(SettingsError, match="left as it is"):
        engine.open(path, Venue.SIM)
    assert files(path.parent) == before


def test_a_newer_schema_is_refused(path):
    engine.open(path, Venue.SIM).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
        connection.commit()
    with pytest.raises(SettingsError, match="version 99"):
        engine.open(path, Venue.SIM)


def test_reading_a_file_not_made_yet_says_so_and_makes_nothing(path):
    with pytest.raises(StoreError, match="does not exist yet"):
        engine.open(path, Venue.SIM, read_only=True)
    assert not path.exists()


def test_a_second_writer_is_refused_until_the_first_lets_go(path):
    first = engine.open(path, Venue.SIM)
    with pytest.raises(StoreError, match="another process"):
        engine.open(path, Venue.SIM)
    first.close()
    engine.open(path, Venue.SIM).close()


def test_a_write_is_seen_by_a_reader_of_another_handle(path):
    writer = engine.open(path, Venue.SIM)
    reader = engine.open(path, Venue.SIM, read_only=True)
    writer.write(lambda c: kv.put(c, "a", "1"))
    with reader.read() as connection:
        assert kv.get(connection, "a") == "1"
    with pytest.raises(StoreError, match="read-only"):
        reader.write(lambda c: kv.put(c, "a", "2"))
    reader.close()
    writer.close()


def test_a_read_connection_cannot_write(path):
    database = engine.open(path, Venue.SIM)
    with pytest.raises((DBAPIError, StoreError)), database.read() as connection:
        connection.execute(insert(KV).values(name="x", value="y"))
    database.close()


def test_writers_from_many_threads_share_commits_and_one_failure_hurts_only_itself(path):
    database = engine.open(path, Venue.SIM)
    errors: list[BaseException] = []

    def one(number: int) -> None:
        def work(connection: Connection) -> None:
            kv.put(connection, f"n{number}", "x")
            if number % 10 == 0:
                raise ValueError(number)

        try:
            database.write(work)
        except ValueError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(e.args[0] for e in errors) == list(range(0, 100, 10))
    assert count(path) == 90
    database.close()


def test_a_write_that_returned_is_committed_however_many_share_the_commit(path):
    """Seen through another connection at once, and with fewer commits than writes."""
    database = engine.open(path, Venue.SIM)
    said: list[str] = []
    database.write(lambda c: engine.raw_of(c).set_trace_callback(said.append))
    missing: list[str] = []

    def many(who: int) -> None:
        with closing(sqlite3.connect(path)) as other:
            for number in range(40):
                name = f"n{who}-{number}"
                database.write(lambda c, name=name: kv.put(c, name, "x"))
                if other.execute("SELECT 1 FROM kv WHERE name = ?", (name,)).fetchone() is None:
                    missing.append(name)

    threads = [threading.Thread(target=many, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert missing == []
    assert count(path) == 320
    commits = sum(text == "COMMIT" for text in said)
    assert commits < 320, "eight threads that wait for a disk never shared a commit"
    database.close()


def test_a_work_that_ends_the_transaction_itself_is_told_and_the_next_one_commits(path):
    """As SQLite does it when the disk is full: the savepoint is gone with the transaction."""
    database = engine.open(path, Venue.SIM)

    def full(connection: Connection) -> None:
        kv.put(connection, "lost", "x")
        engine.raw_of(connection).execute("ROLLBACK")
        raise ValueError("disk full")

    with pytest.raises(StoreError, match="could not commit"):
        database.write(full)
    database.write(lambda c: kv.put(c, "kept", "x"))
    assert count(path) == 1
    database.close()


def test_closing_waits_for_writes_and_refuses_later_ones(path):
    database = engine.open(path, Venue.SIM)
    inside, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        inside.set()
        assert go_on.wait(5)
        kv.put(connection, "slow", "x")

    writing = threading.Thread(target=lambda: database.write(slow))
    writing.start()
    assert inside.wait(5)
    closing_down = threading.Thread(target=database.close)
    closing_down.start()
    while not database.closed:
        closing_down.join(0.005)
    with pytest.raises(StoreError, match="closed"):
        database.write(lambda c: kv.put(c, "late", "x"))
    go_on.set()
    writing.join()
    closing_down.join()
    assert count(path) == 1


def test_a_commit_that_fails_is_told_to_every_caller(path):
    """The commit itself fails (a deferred foreign key), not the statement."""
    database = engine.open(path, Venue.SIM)

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        values = {"journal_id": 999, "kind": "x", "at_ns": 1, "state": "open", "filled_quantity": 0}
        connection.execute(insert(ORDER_EVENTS).values(average_price="0", **values))

    with pytest.raises(StoreError, match="could not commit"):
        database.write(work)
    database.write(lambda c: kv.put(c, "still", "alive"))
    assert count(path) == 1
    database.close()


def test_order_events_cannot_be_changed_or_dropped(path):
    database = engine.open(path, Venue.SIM)

    def fill(connection: Connection) -> None:
        connection.execute(
            insert(ORDERS).values(
                id=1, origin="ours", created_ns=1, exchange="NSE", symbol="X", action="BUY", quantity=1,
                price_type="MARKET", product="MIS", price="0", trigger_price="0", state="open",
            )
        )  # fmt: skip
        values = {"journal_id": 1, "kind": "x", "at_ns": 1, "state": "open", "filled_quantity": 0}
        connection.execute(insert(ORDER_EVENTS).values(average_price="0", **values))

    database.write(fill)
    for statement in ("UPDATE order_events SET kind = 'y'", "DELETE FROM order_events"):
        with pytest.raises(DBAPIError, match="append-only"):
            database.write(lambda c, s=statement: c.exec_driver_sql(s))
    with database.read() as connection:
        assert connection.execute(select(ORDER_EVENTS.c.kind)).scalars().all() == ["x"]
    database.close()


KILLED = """
import os, signal, sys, pathlib, threading
from brokers.model import Venue
from gateway.store import engine, kv
database = engine.open(pathlib.Path(sys.argv[1]), Venue.SIM)
def many(who):
    for n in range(1000):
        database.write(lambda c: kv.put(c, f"{who}-{n}", "x"))
        os.write(1, f"{who}-{n} ".encode())
        if n == 20 and who == 0:
            os.kill(os.getpid(), signal.SIGKILL)
for who in range(int(sys.argv[2])):
    threading.Thread(target=many, args=(who,)).start()
"""


@pytest.mark.parametrize("threads", [1, 6])
def test_every_write_that_returned_survives_a_kill(path, threads):
    command = [sys.executable, "-c", KILLED, str(path), str(threads)]
    seen = subprocess.run(command, capture_output=True, check=False).stdout.decode()
    told = set(seen.rpartition(" ")[0].split())
    assert len(told) >= 21
    database = engine.open(path, Venue.SIM)  # the dead writer's lock is gone with it
    with database.read() as connection:
        assert told - set(connection.execute(select(KV.c.name)).scalars()) == set()
    database.close()


def test_a_durable_commit_asks_for_full_synchronisation(path):
    database = engine.open(path, Venue.SIM)
    assert database.write(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar()) == 2
    database.close()


def put(name: str):
    return lambda connection: kv.put(connection, name, "1")


def held(path: Path) -> int:
    with closing(sqlite3.connect(path)) as other:
        return int(other.execute("SELECT count(*) FROM kv").fetchone()[0])


@pytest.mark.parametrize("rides", [1, GROUP - 1, GROUP, 3 * GROUP])
def test_rides_are_committed_with_the_next_write_however_many_wait(path, rides):
    database = engine.open(path, Venue.SIM)
    futures = [database.ride(put(f"ride {n}")) for n in range(rides)]
    assert held(path) == 0
    assert not any(future.done() for future in futures)
    database.write(put("write"))
    assert all(future.done() for future in futures)
    assert held(path) == rides + 1
    database.ride(put("last"))
    database.close()
    assert held(path) == rides + 2


def test_a_ride_that_fails_is_told_and_hurts_nobody(path):
    database = engine.open(path, Venue.SIM)
    wrong = database.ride(lambda connection: kv.put(connection, None, "1"))  # type: ignore[arg-type]
    right = database.ride(put("right"))
    database.write(put("write"))
    assert isinstance(wrong.exception(), Exception)
    assert right.result() is None
    assert held(path) == 2
    database.close()


def test_rides_and_writes_of_many_threads_all_end(path):
    database = engine.open(path, Venue.SIM)

    def some(who: int) -> None:
        for n in range(40):
            future = database.ride(put(f"{who} ride {n}"))
            database.write(put(f"{who} write {n}"))
            assert future.done()

    threads = [threading.Thread(target=some, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert held(path) == 6 * 80
    database.close()


def test_the_wal_is_carried_over_beside_the_writers(path):
    """Else it would grow to 64 MB, and one order would wait for all of it."""
    database = engine.open(path, Venue.SIM)
    value = "x" * 20_000
    for number in range(CHECKPOINT_ROWS):
        database.write(lambda c, n=number: kv.put(c, f"n{n % 20}", value))
    until = time.monotonic() + 10
    while path.stat().st_size < 20 * len(value) and time.monotonic() < until:
        time.sleep(0.005)
    assert path.stat().st_size >= 20 * len(value), "nothing reached the file itself"
    database.close()
