from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from historify.control import Control
from historify.errors import StoreBusy, StoreDamaged, StoreError


def count(control: Control) -> int:
    with control.read() as connection:
        return int(connection.execute("SELECT count(*) FROM coverage").fetchone()[0])


INSERT = "INSERT INTO coverage VALUES('A', 'NSE', '1m', '2026-01-01', 'full')"


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path):
    control = Control(tmp_path / "new" / "control.db")

    def fail() -> None:
        with control.transaction() as tx:
            tx.execute(INSERT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count(control) == 0
    with control.transaction() as tx:
        tx.execute(INSERT)
        assert count(control) == 1, "a read inside sees what was written"
    assert count(control) == 1
    control.close()
    with pytest.raises(StoreError, match="closed"):
        count(control)


def test_readers_wait_for_nobody_and_a_second_writer_gives_up(tmp_path: Path):
    one, other = Control(tmp_path / "control.db"), Control(tmp_path / "control.db", busy_s=0.05)
    with one.transaction() as tx:
        tx.execute(INSERT)
        assert count(other) == 0
        with pytest.raises(StoreBusy, match="try again"), other.transaction():
            pass
    assert count(other) == 1
    with other.transaction():
        pass


def test_a_snapshot_does_not_move(tmp_path: Path):
    one, other = Control(tmp_path / "control.db"), Control(tmp_path / "control.db")
    with other.read() as connection:
        first = connection.execute("SELECT count(*) FROM coverage").fetchone()
        with one.transaction() as tx:
            tx.execute(INSERT)
        assert connection.execute("SELECT count(*) FROM coverage").fetchone() == first


def test_publishes_are_on_disk_and_queues_are_not_waited_for(tmp_path: Path):
    control = Control(tmp_path / "control.db")
    with control.transaction() as tx:
        assert tx.execute("PRAGMA synchronous").fetchone() == (2,)
        assert tx.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with control.transaction(durable=False) as tx:
        assert tx.execute("PRAGMA synchronous").fetchone() == (1,)


def test_many_may_be_first(tmp_path: Path):
    made: list[Control] = []
    threads = [
        threading.Thread(target=lambda: made.append(Control(tmp_path / "control.db"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [count(one) for one in made] == [0] * 8


def test_another_programs_database_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "control.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs(x)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        Control(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_a_newer_version_is_refused(tmp_path: Path):
    path = tmp_path / "control.db"
    control = Control(path)
    with control.transaction() as tx:
        tx.execute("UPDATE meta SET value='99' WHERE key='version'")
    control.close()
    with pytest.raises(StoreError, match="newer algo"):
        Control(path)


def test_rubbish_is_damage(tmp_path: Path):
    path = tmp_path / "control.db"
    path.write_bytes(b"rubbish " * 1000)
    with pytest.raises(StoreDamaged, match="backup"):
        Control(path)
