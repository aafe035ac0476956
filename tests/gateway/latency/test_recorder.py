from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from brokers.errors import StoreError
from brokers.model import OrderStatus, Venue
from gateway.latency import reader, recorder
from gateway.latency.histograms import merged
from gateway.latency.model import CLOCK_SET, RESTARTED
from gateway.latency.recorder import Called, Recorder, Timed
from gateway.latency.tables import METADATA
from gateway.store import engine
from tests.gateway.latency.says import MS, START, clock, heard, wrote

DAY = "2026-11-20"
EVER = 2**62


class Home:
    """One latency database, and as many recorders after each other as a test restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = clock()
        self.one = self.open()

    def open(self, **more) -> Recorder:
        database = engine.open(self.path, Venue.SIM, metadata=METADATA, durable=False)
        self.one = Recorder(database, self.clock, **{"broker": "dhan", "keep_days": 30, **more})
        return self.one

    def kill(self) -> None:
        """As ``kill -9``: what was not committed is gone."""
        self.one.database.close()

    def samples(self) -> dict[str, list]:
        return reader.samples(self.path, 0, EVER).columns

    def n(self, endpoint: str, stage: str) -> int:
        found = reader.histograms(self.path, DAY, DAY)
        return merged(h.data for h in found if (h.endpoint, h.stage) == (endpoint, stage)).n


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "latency.db")
    yield made
    made.kill()


def test_an_order_is_read_back_as_it_was_told_also_while_the_writer_runs(home):
    home.one.wrote(wrote(home.clock, strategy="compare", client_order_id="p1"))
    home.one.turn()
    home.one.heard(heard(home.clock, 30, OrderStatus.COMPLETE))
    home.one.turn()
    found = home.samples()
    assert len(found["id"]) == 1
    assert (found["probe"], found["sent_ns"], found["filled_ns"]) == (["p1"], [4 * MS], [30 * MS])
    assert reader.counts(home.path, DAY, DAY)[DAY]["place.sent"] == 1


def test_a_disk_that_refuses_stops_nobody_and_what_waits_is_written_later(home, monkeypatch):
    home.one.wrote(wrote(home.clock))
    with monkeypatch.context() as broken:
        broken.setattr(home.one.database, "write", lambda work: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            home.one.turn()
        home.one.wrote(wrote(home.clock, number=2))
    home.one.turn()
    assert home.samples()["journal_id"] == [1, 2]
    assert reader.counts(home.path, DAY, DAY)[DAY]["place.sent"] == 2


def test_a_full_queue_drops_and_counts(home, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_WAITING", 2)
    for number in (1, 2, 3):
        home.one.wrote(wrote(home.clock, number=number))
    assert home.one.dropped == 1
    home.one.turn()
    assert home.samples()["journal_id"] == [1, 2]


def test_after_a_kill_the_histograms_hold_what_the_rows_hold(home):
    home.one.wrote(wrote(home.clock))
    home.one.turn()
    home.clock.advance(61)
    home.one.turn()
    assert home.n("place", "acknowledge") == 1
    home.one.wrote(wrote(home.clock, number=2))
    home.one.called(Called("funds", home.clock.time_ns(), 5 * MS, ""))
    home.one.turn()
    home.kill()
    assert home.n("place", "acknowledge") == 1
    home.open().restore()
    assert home.n("place", "acknowledge") == 2
    home.one.wrote(wrote(home.clock, number=3))
    home.one.stop()
    assert home.n("place", "acknowledge") == 3
    home.open().restore()
    assert home.n("place", "acknowledge") == 3


def test_an_order_of_an_earlier_run_is_marked_and_gets_no_later_stage(home):
    home.one.wrote(wrote(home.clock))
    home.one.wrote(wrote(home.clock, number=2))
    home.one.heard(heard(home.clock, 30, OrderStatus.COMPLETE, 2))
    home.one.stop()
    home.open()
    home.one.heard(heard(home.clock, 5000, OrderStatus.COMPLETE))
    home.one.wrote(wrote(home.clock, number=3))
    home.one.turn()
    found = home.samples()
    assert (found["journal_id"], found["flags"]) == ([1, 2, 3], [RESTARTED, 0, 0])
    assert found["filled_ns"] == [None, 30 * MS, None]


def test_a_clock_set_between_two_wakings_marks_what_may_have_spanned_it(home):
    home.one.turn()
    home.clock.advance(100)
    home.one.wrote(wrote(home.clock))
    home.one.turn()
    home.clock.advance(0.4)
    home.clock.set(START + timedelta(hours=1))
    home.one.wrote(wrote(home.clock, number=2))
    home.one.turn()
    home.clock.advance(100)
    home.one.wrote(wrote(home.clock, number=3))
    home.one.turn()
    assert home.samples()["flags"] == [0, CLOCK_SET, 0]


def test_figures_of_pages_count_once_for_each_order_and_kind_and_no_more_than_the_cap(home, monkeypatch):
    monkeypatch.setattr("gateway.latency.rows.MOST_BROWSER_ROWS", 3)
    told = ["1 click_drawn", "1 click_drawn", "1 cancel_gone", "2 click_drawn", "3 click_drawn"]
    for order, kind in map(str.split, told):
        home.one.timed(Timed(home.clock.time_ns(), order, kind, 40_000))
    home.one.turn()
    home.one.timed(Timed(home.clock.time_ns(), "4", "click_drawn", 40_000))
    home.one.stop()
    assert (home.n("browser", "click_drawn"), home.n("browser", "cancel_gone")) == (2, 1)
    assert home.n("place", "total") == 0


def test_old_orders_go_and_their_histograms_stay(home):
    home.one.wrote(wrote(home.clock))
    home.one.turn()
    home.clock.advance(31 * 86_400)
    home.one.wrote(wrote(home.clock, number=2))
    home.one.turn()
    assert home.samples()["journal_id"] == [2]
    assert home.n("place", "total") == 1


def test_counts_of_a_day_add_up_over_restarts(home):
    home.kill()
    for _ in range(2):
        home.open(look=lambda seconds: {"time.up_ms": int(seconds * 1000)})
        home.clock.advance(6)
        home.one.turn()
        home.one.stop()
    found = reader.counts(home.path, DAY, DAY)[DAY]
    assert found["time.up_ms"] == 12_000
    assert found["last_ms"] - found["first_ms"] == 12_000


def test_a_file_of_somebody_else_is_not_read(tmp_path):
    other = tmp_path / "latency.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE order_latency (id)")
    with pytest.raises(StoreError, match=r"latency\.db"):
        reader.samples(other, 0, EVER)
    with pytest.raises(StoreError, match="unable to open"):
        reader.counts(tmp_path / "none.db", DAY, DAY)
