"""What only the PostgreSQL store has: its server goes away, another home writes, old months are dropped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from brokers.errors import SettingsError
from historify.errors import LeaseLost, StoreBusy, StoreError
from historify.model import Bars, Provenance, Series
from historify.postgres import open_postgres, reading, schema
from historify.postgres.pool import Pool
from historify.postgres.store import PostgresStore
from tests.historify.contract.rig import MONDAY, Epoch, a_series, calendar, minutes, request
from tests.historify.server import PASSWORD, Server

pytestmark = pytest.mark.xdist_group("postgres")
PULLED = Provenance("dhan", at_s=1_760_000_000)
Opened = Callable[..., PostgresStore]
Admin = psycopg.Connection[tuple[object, ...]]


def put(store: PostgresStore, series: Series, count: int = 5, epoch: int = 1, day: date = MONDAY) -> None:
    store.put(series, Bars.of(minutes(day, count=count)), fence=Epoch(epoch), provenance=PULLED)


def count(store: PostgresStore, series: Series) -> int:
    return len(store.get(request(series, "1m", date(2000, 1, 1), date(2030, 1, 1))))


def test_a_wrong_password_is_told_without_it(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StoreBusy, match="HISTORIFY_DATABASE_URL") as caught:
        open_postgres(server.url(password="not+the/one"), calendar=calendar(tmp_path))
    assert "not+the/one" not in str(caught.value)
    assert "not%2Bthe" not in str(caught.value)


def test_a_database_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StoreBusy, match="nowhere") as caught:
        open_postgres(server.url("nowhere"), calendar=calendar(tmp_path))
    assert PASSWORD not in str(caught.value)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreBusy, match="cannot be reached") as caught:
        open_postgres(f"postgresql://algo:hush@/db?host={tmp_path}", calendar=calendar(tmp_path))
    assert "hush" not in str(caught.value)


def test_a_parameter_nobody_knows_is_a_wrong_setting(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        open_postgres(f"{server.url()}&sheme=x", calendar=calendar(tmp_path))


def test_reads_and_writes_go_on_after_every_connection_was_cut(opened: Opened, admin: Admin) -> None:
    store, series = opened(), a_series()
    put(store, series)
    cut(admin)
    assert count(store, series) == 5
    cut(admin)
    put(store, series, 9)
    assert count(store, series) == 9


def test_a_connection_cut_amid_a_batch_publishes_nothing_and_says_so(
    opened: Opened, admin: Admin, url: str
) -> None:
    store, series = opened(), a_series()
    put(store, series)
    with psycopg.connect(url.partition("&schema")[0]) as blocker:
        where = url.rpartition("=")[2]
        blocker.execute(f"LOCK TABLE {where}.ingest IN EXCLUSIVE MODE")
        raised: list[Exception] = []

        def write() -> None:
            try:
                put(store, series, 50)
            except StoreError as exc:
                raised.append(exc)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):  # the first cut is met with one more try, on a new connection
            wait_until_blocked(admin)
            cut(admin, "wait_event_type = 'Lock'")
        writer.join(30)
    assert [type(exc) for exc in raised] == [StoreBusy]
    assert "nothing was acknowledged" in str(raised[0])
    assert count(store, series) == 5


def test_a_statement_that_takes_too_long_is_stopped(opened: Opened) -> None:
    store = opened()
    pool = Pool(store.address, statement_s=0.05)
    try:
        with pytest.raises(StoreBusy, match="longer than"):
            pool.run("sleeping", lambda c: c.execute("SELECT pg_sleep(30)"))
        assert pool.run("asking", lambda c: c.execute("SELECT 1").fetchone()) == (1,)
    finally:
        pool.close()


def test_what_the_server_undid_to_end_a_deadlock_is_done_again(opened: Opened) -> None:
    store, series = opened(), a_series()
    put(store, series)
    met = threading.Barrier(2)
    tries: list[str] = []

    def crossing(first: str, second: str) -> None:
        def work(connection: psycopg.Connection[tuple[object, ...]]) -> None:
            tries.append(first)
            with connection.transaction():
                connection.execute("SET LOCAL deadlock_timeout TO '20ms'")
                connection.execute(f"LOCK TABLE {first} IN EXCLUSIVE MODE")
                if len(tries) <= 2:
                    met.wait(20)
                connection.execute(f"LOCK TABLE {second} IN EXCLUSIVE MODE")

        store.pool.run("crossing", work)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(crossing, "series", "ingest"), pool.submit(crossing, "ingest", "series")]
        assert [one.result(30) for one in both] == [None, None]
    assert len(tries) >= 3


def test_no_more_connections_than_agreed(opened: Opened, admin: Admin) -> None:
    store = opened()
    gate = threading.Barrier(4)

    def held(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 4242")
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(0.2)  # the fifth and sixth come when others are back

    threads = [threading.Thread(target=store.pool.run, args=("holding", held)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    used = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT 4242'")
    assert used.fetchone() == (4,)


def test_another_home_waits_until_this_one_is_silent(opened: Opened, admin: Admin, url: str) -> None:
    ours, theirs, series = opened(writer="ours"), opened(writer="theirs"), a_series()
    put(ours, series, 5, epoch=900)
    with pytest.raises(LeaseLost, match="another home \\(ours\\)"):
        put(theirs, series, 9, epoch=1)
    where = url.rpartition("=")[2]
    admin.execute(f"UPDATE {where}.fence SET seen_at = seen_at - interval '2 minutes'")
    put(theirs, series, 9, epoch=1)
    with pytest.raises(LeaseLost, match="another home \\(theirs\\)"):
        put(ours, series, 10, epoch=901)
    assert count(theirs, series) == 9


def test_who_was_admitted_shuts_older_ones_out_before_it_writes(opened: Opened) -> None:
    store, series = opened(), a_series()
    put(store, series, 5, epoch=3)
    store.admit(Epoch(4))
    with pytest.raises(LeaseLost, match="4 is current"):
        put(store, series, 9, epoch=3)
    with pytest.raises(LeaseLost):
        store.admit(Epoch(3))
    assert count(store, series) == 5


def test_a_takeover_waits_for_the_batch_under_way(opened: Opened, admin: Admin, url: str) -> None:
    store, series = opened(), a_series()
    put(store, series, 1)
    with ThreadPoolExecutor(2) as pool, psycopg.connect(url.partition("&schema")[0]) as blocker:
        blocker.execute(f"LOCK TABLE {url.rpartition('=')[2]}.ingest IN EXCLUSIVE MODE")
        writer = pool.submit(put, store, series, 9)
        wait_until_blocked(admin)
        takeover = pool.submit(store.admit, Epoch(2))
        wait_until_blocked(admin, 2)
        blocker.rollback()
        assert (writer.result(30), takeover.result(30)) == (None, None)
    assert count(store, series) == 9


def test_an_equal_batch_writes_no_row(opened: Opened, admin: Admin, url: str) -> None:
    store, series = opened(), a_series()
    where = url.rpartition("=")[2]
    put(store, series, 200)
    before = admin.execute(f"SELECT ctid, xmin, xmax, ts FROM {where}.bars_1m ORDER BY ts").fetchall()
    put(store, series, 200)
    assert admin.execute(f"SELECT ctid, xmin, xmax, ts FROM {where}.bars_1m ORDER BY ts").fetchall() == before


def test_every_batch_keeps_where_it_came_from(opened: Opened, admin: Admin, url: str) -> None:
    store, series = opened(), a_series()
    bars = Bars.of(minutes(MONDAY, count=3))
    store.put(series, bars, fence=Epoch(1), provenance=Provenance("kotak", at_s=77, job=12, note="retry"))
    columns = "source, at, job, note, lo, hi, rows, added, changed, epoch"
    kept = admin.execute(f"SELECT {columns} FROM {url.rpartition('=')[2]}.ingest").fetchall()
    assert kept == [("kotak", 77, 12, "retry", bars.ts[0], bars.ts[-1], 3, 3, 0, 1)]


def test_people_find_the_columns_they_know(opened: Opened, admin: Admin, url: str) -> None:
    store = opened()
    series = Series("NSE", "M&M", "1m")
    put(store, series, 2)
    [first, second] = minutes(MONDAY, count=2)
    rows = admin.execute(f"SELECT * FROM {url.rpartition('=')[2]}.market_data ORDER BY timestamp").fetchall()
    assert rows == [("M&M", "NSE", "1m", *first), ("M&M", "NSE", "1m", *second)]


def test_months_are_made_when_their_first_bar_comes(opened: Opened, admin: Admin, url: str) -> None:
    store, series = opened(), a_series()
    for day in (date(2025, 1, 15), date(2024, 11, 4)):
        put(store, series, day=day)
    assert partitions(admin, url) == ["bars_1m_2024_11", "bars_1m_2025_01"]


def test_old_months_go_and_the_catalog_follows(opened: Opened, admin: Admin, url: str) -> None:
    keeper, store, old, new = opened(), opened("&retain_days=40"), a_series(), a_series()
    today = datetime.now(UTC).date()
    ago = today - timedelta(days=400)
    put(keeper, old, 5, day=ago)
    put(keeper, new, 5, day=ago)
    put(store, new, 5, day=today)  # the first of a day looks after old ones
    assert partitions(admin, url) == [f"bars_1m_{today:%Y_%m}"]
    assert (count(store, old), count(store, new)) == (0, 5)
    assert [(row.series, row.rows) for row in store.catalog()] == [(new, 5)]
    put(store, old, 5, day=ago)
    assert count(store, old) == 5
    assert store.retain() == [f"bars_1m_{ago:%Y_%m}"]
    assert keeper.retain() == []


def test_tables_of_another_program_are_left_alone(opened: Opened, admin: Admin, url: str) -> None:
    where = url.rpartition("=")[2]
    admin.execute(f"CREATE SCHEMA {where}; CREATE TABLE {where}.bars_1m (x int)")
    with pytest.raises(StoreError, match="another program"):
        opened()
    admin.execute(f"CREATE TABLE {where}.meta (name text, value text)")
    with pytest.raises(StoreError, match="another program"):
        opened()
    assert admin.execute(f"SELECT * FROM {where}.bars_1m").fetchall() == []


def test_tables_of_a_newer_version_are_left_alone(opened: Opened, admin: Admin, url: str) -> None:
    opened()
    admin.execute(f"UPDATE {url.rpartition('=')[2]}.meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(StoreError, match="version 99"):
        opened()


def test_two_processes_may_open_an_empty_database_at_once(server: Server, url: str, tmp_path: Path) -> None:
    sessions = calendar(tmp_path)
    made: list[str] = []

    def open_one() -> None:
        store = PostgresStore(url, calendar=sessions)
        made.append(store.layout)
        store.close()

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [schema.PARTITIONS] * 4


def test_the_planner_finds_a_month_by_its_index(opened: Opened) -> None:
    """A read of one series must not walk the others' bars."""
    store, series = opened(), a_series()
    for _ in range(3):
        put(store, a_series(), 375)
    put(store, series, 375)

    def plan(connection: psycopg.Connection) -> str:
        number = reading.series_id(connection, series)
        connection.execute("ANALYZE bars_1m; SET enable_seqscan TO off")
        rows = connection.execute(
            f"EXPLAIN SELECT * FROM bars_1m WHERE series_id = {number} AND ts >= {minutes(MONDAY)[0][0]}"
        ).fetchall()
        return "\n".join(row[0] for row in rows)

    found = store.pool.run("explaining", plan)
    assert "Index" in found
    assert "series_id" in found


def cut(admin: Admin, which: str = "true") -> None:
    """Ends our stores' connections, as a server that restarts does."""
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE application_name = 'algo-historify' AND {which}"
    )


def wait_until_blocked(admin: Admin, many: int = 1) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while admin.execute(query).fetchone() != (many,):
        assert datetime.now(UTC) < deadline, "nobody waits for a lock"
        threading.Event().wait(0.01)


def partitions(admin: Admin, url: str) -> list[str]:
    rows = admin.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        f" WHERE i.inhparent = '{url.rpartition('=')[2]}.bars_1m'::regclass ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]
