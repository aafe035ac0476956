"""Who holds a strategy id: histories as tables, and the one file all instances of a home ask."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import LeaseRefused, StoreError
from gateway.strategies import lease
from gateway.strategies.lease import Acquire, Exclusive, Free, Lease, Mark, Release, Renew, Use
from gateway.strategies.leasefile import Gatekeeper, LeaseFile

NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)
S = lease.S


def a(takeover=0, ttl_s=30.0):
    return Acquire("cron 17", "dhan", ttl_s, "aaaa", takeover)


def b(takeover=0, ttl_s=30.0):
    return Acquire("hand 99", "kotak", ttl_s, "bbbb", takeover)


def short(found):
    return "" if found is None else found.code.removeprefix("STRATEGY_LEASE_")


HISTORIES = [
    # (seconds since the start, event) …, and the code the last one is refused with (empty: granted)
    ([(0, a())], ""),
    ([(0, a()), (29, b())], "HELD"),
    ([(0, a()), (30, b())], ""),
    ([(0, a()), (1, replace(a(), secret="cccc"))], "HELD"),  # the same name is not the same copy
    ([(0, a()), (20, Renew("1-aaaa", 30)), (49, b())], "HELD"),
    ([(0, a()), (20, Renew("1-aaaa", 30)), (50, b())], ""),
    ([(0, a()), (40, Renew("1-aaaa", 30)), (41, b())], "HELD"),  # late, but nobody came between
    ([(0, a()), (31, b()), (32, Renew("1-aaaa", 30))], "LOST"),
    ([(0, a()), (1, Renew("1-bbbb", 30))], "LOST"),
    ([(0, a()), (1, b(takeover=1)), (2, Renew("1-aaaa", 30))], "LOST"),
    ([(0, a()), (1, b(takeover=2))], "HELD"),  # another epoch than the one it saw
    ([(0, a()), (1, b(takeover=1)), (2, replace(a(takeover=1), secret="cccc"))], "HELD"),
    ([(0, a()), (1, Release("1-aaaa")), (2, b())], ""),
    ([(0, a()), (1, Release("1-bbbb"))], "LOST"),
    ([(0, a()), (1, Free()), (2, Renew("1-aaaa", 30))], "LOST"),
    ([(0, a()), (1, Free()), (2, b())], ""),
    ([(0, a(ttl_s=1e9)), (3599, b())], "HELD"),
    ([(0, a(ttl_s=1e9)), (3600, b())], ""),
    ([(0, Mark(Exclusive.INSTANCE)), (1, Use("dhan")), (2, Use("kotak"))], "HELD"),
    ([(0, Mark(Exclusive.INSTANCE)), (1, Use("dhan")), (2, b())], "HELD"),
    ([(0, Mark(Exclusive.INSTANCE)), (1, Use("dhan")), (14 * 3600, Use("dhan"))], ""),
    ([(0, Mark(Exclusive.INSTANCE)), (1, Use("dhan")), (14 * 3600 + 1800, Use("kotak"))], ""),  # 00:00 IST
    ([(0, Mark(Exclusive.LEASE)), (1, Use("dhan"))], "REQUIRED"),
    ([(1000, a()), (0, b())], ""),  # the clock was set back: nobody knows how long it has lasted
]


@pytest.mark.parametrize(("history", "code"), HISTORIES)
def test_histories_of_one_strategy(history, code):
    row, got = Lease("x"), ""
    for number, (at_s, event) in enumerate(history):
        before = row
        try:
            row = lease.step(row, event, int(NOW.timestamp() + at_s) * S)
        except LeaseRefused as exc:
            got = short(exc)
        assert not got or (row == before and number == len(history) - 1)
        assert row.epoch >= before.epoch
        if isinstance(event, Acquire) and not got:
            assert row.epoch == before.epoch + 1
    assert got == code


HELD = lease.step(Lease("x"), a(), int(NOW.timestamp()) * S)
FREE = Lease("x")


@pytest.mark.parametrize(
    ("row", "token", "instance", "after_s", "code"),
    [
        (FREE, "", "dhan", 0, ""),
        (FREE, "1-aaaa", "dhan", 0, "LOST"),
        (FREE, "0-", "dhan", 0, "LOST"),
        (HELD, "1-aaaa", "dhan", 0, ""),
        (HELD, "1-aaaa", "kotak", 29, ""),  # one copy may trade through both
        (HELD, "1-aaaa", "dhan", 30, "EXPIRED"),
        (HELD, "1-bbbb", "dhan", 0, "LOST"),
        (HELD, "2-aaaa", "dhan", 0, "LOST"),
        (HELD, "", "dhan", 29, "HELD"),  # a copy that knows nothing of leases
        (HELD, "", "dhan", 30, ""),
        (replace(HELD, exclusive=Exclusive.LEASE), "", "dhan", 30, "REQUIRED"),
        (replace(HELD, exclusive=Exclusive.LEASE), "1-aaaa", "dhan", 1, ""),
    ],
)
def test_what_an_entry_meets(row, token, instance, after_s, code):
    found = lease.objection(row, token, instance, int(NOW.timestamp() + after_s) * S)
    assert short(found) == code


@pytest.fixture
def clock():
    return ManualClock(NOW)


def test_no_file_until_somebody_asks_and_then_the_owner_s_alone(tmp_path, clock):
    path = tmp_path / "run" / "leases.db"
    door = Gatekeeper(LeaseFile(path, clock), clock, "dhan")
    assert door.objection("x", "") is None
    assert not path.exists()
    LeaseFile(path, clock).apply("x", a())
    assert path.stat().st_mode & 0o777 == 0o600
    assert short(door.objection("x", "")) == "HELD"
    assert door.objection("x", "1-aaaa") is None
    assert door.objection("y", "") is None
    clock.advance(31)
    assert door.objection("x", "") is None


def test_of_many_that_ask_at_once_through_two_instances_one_gets_it(tmp_path, clock):
    files = [LeaseFile(tmp_path / "leases.db", clock) for _ in range(2)]
    start, got = threading.Barrier(12), []

    def ask(number):
        start.wait(5)
        try:
            event = Acquire(f"copy {number}", "dhan", 30, f"{number:04}")
            got.append(files[number % 2].apply("x", event).epoch)
        except LeaseRefused as exc:
            got.append(short(exc))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert sorted(map(str, got)) == ["1", *["HELD"] * 11]


KILLED = """
import os, signal, sys
from pathlib import Path
from brokers.clock import SystemClock
from gateway.strategies.lease import Acquire
from gateway.strategies.leasefile import LeaseFile
LeaseFile(Path(sys.argv[1]), SystemClock()).apply("x", Acquire("copy", "dhan", 3600, "dead"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lease_outlives_the_kill_of_the_process_that_gave_it(tmp_path):
    path = tmp_path / "leases.db"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=os.getcwd(), timeout=30)
    assert ended.returncode == -9
    row = LeaseFile(path, ManualClock(datetime.now(UTC))).look("x")
    assert (row.epoch, row.token) == (1, "1-dead")


def test_a_file_that_cannot_be_read_refuses_entries_and_mends_by_itself(tmp_path, clock):
    path = tmp_path / "leases.db"
    path.write_bytes(b"this is no database, and long enough to look like one" * 100)
    file = LeaseFile(path, clock)
    door = Gatekeeper(file, clock, "dhan")
    assert short(door.objection("x", "")) == "UNAVAILABLE"
    with pytest.raises(StoreError, match=r"leases\.db"):
        file.apply("x", a())
    path.unlink()
    assert file.apply("x", a()).epoch == 1
    assert door.objection("x", "1-aaaa") is None


def test_a_file_put_in_the_place_of_the_old_one_is_the_truth_at_once(tmp_path, clock):
    path = tmp_path / "leases.db"
    file = LeaseFile(path, clock)
    file.apply("x", a())
    other = LeaseFile(tmp_path / "other.db", clock)
    other.apply("x", b())
    other.close()
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"leases.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "other.db").replace(path)
    assert file.look("x").holder == "hand 99"


def test_a_strategy_marked_instance_belongs_to_the_first_one_it_trades_through(tmp_path, clock):
    file = LeaseFile(tmp_path / "leases.db", clock)
    dhan, kotak = (Gatekeeper(file, clock, name) for name in ("dhan", "kotak"))
    feed_only = Gatekeeper(file, clock, "third", may_lease=False)
    file.apply("x", Mark(Exclusive.INSTANCE))
    assert short(feed_only.objection("x", "")) == "REQUIRED"
    assert dhan.objection("x", "") is None
    assert dhan.objection("x", "") is None
    assert short(kotak.objection("x", "")) == "HELD"
    assert file.apply("x", Use("dhan")).epoch == 1
    file.apply("x", Free())
    assert kotak.objection("x", "") is None
    assert short(dhan.objection("x", "")) == "HELD"
    assert [(row.strategy, row.holder, row.epoch) for row in file.all()] == [("x", "instance kotak", 2)]
