"""When the instrument table is stale, one sync at a time, and what a failed one leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import ManualClock
from brokers.errors import BrokerDown
from brokers.model import Venue
from gateway.brokerday.sync import InstrumentKeeper
from gateway.store import engine
from gateway.store.instruments import InstrumentStore
from tests.gateway.api.rig import ScriptedSource, table

MORNING = datetime(2026, 11, 20, 3, tzinfo=UTC)  # 08:30 IST


class Kept:
    """A keeper and what it was built from."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(MORNING)
        self.database = engine.open(path / "i.db", Venue.SIM)
        self.store = InstrumentStore(self.database, self.clock)
        self.source = ScriptedSource(table(date(2026, 11, 20)))
        self.logged_in = True
        self.keeper = InstrumentKeeper(self.source, self.store, self.clock, lambda: self.logged_in)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path)
    yield one
    one.keeper.stop()
    one.database.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def test_a_table_is_stale_when_empty_and_again_after_the_next_cut_off(kept):
    assert kept.keeper.is_stale()
    assert kept.keeper.state == "none"
    report, skipped = kept.keeper.sync()
    assert (report.total, skipped) == (len(kept.source.rows), {"no lot size": 2})
    assert not kept.keeper.is_stale()
    assert kept.keeper.state == "ok"
    kept.clock.advance(23 * 3600)
    assert not kept.keeper.is_stale()
    kept.clock.advance(3600)
    assert kept.keeper.is_stale()


def test_a_failed_sync_says_why_and_keeps_the_old_table(kept):
    kept.keeper.sync()
    kept.source.fail = [BrokerDown("no answer")]
    with pytest.raises(BrokerDown):
        kept.keeper.sync()
    assert (kept.keeper.state, kept.keeper.error) == ("failed", "no answer")
    assert kept.store.count() == len(kept.source.rows)
    kept.keeper.sync()
    assert (kept.keeper.state, kept.keeper.error) == ("ok", "")


def test_who_waits_for_a_running_sync_gets_its_report(kept):
    entered, release = threading.Event(), threading.Event()
    download = kept.source.download

    def slow():
        entered.set()
        assert release.wait(5)
        return download()

    kept.source.download = slow
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(kept.keeper.sync)
        assert entered.wait(5)
        assert kept.keeper.state == "syncing"
        waiting = [pool.submit(kept.keeper.sync) for _ in range(3)]
        until(lambda: kept.keeper._waiting == 3)
        release.set()
        assert all(future.result(5) == first.result(5) for future in waiting)
    assert kept.source.downloads == 1


def test_the_background_waits_for_the_login_then_loads(kept):
    kept.logged_in = False
    kept.keeper.start()
    until(lambda: kept.keeper.looks >= 2)
    assert kept.source.downloads == 0
    kept.logged_in = True
    until(lambda: kept.keeper.state == "ok")
    assert kept.source.downloads == 1


def test_the_background_survives_a_bug_in_a_broker_folder(kept, caplog):
    def bug():
        raise KeyError("a bug")

    kept.source.download = bug
    kept.keeper.start()
    until(lambda: kept.keeper.state == "failed")
    assert "KeyError" in kept.keeper.error
    assert any(record.exc_info for record in caplog.records)


def test_a_day_without_trading_needs_no_new_table(kept):
    """Friday's table lasts over the week-end, until Monday's cut-off."""
    keeper = InstrumentKeeper(
        kept.source, kept.store, kept.clock, lambda: True, calendar=FileCalendar(), exchanges=("NSE", "MCX")
    )
    keeper.sync()
    kept.clock.set(datetime(2026, 11, 22, 12, tzinfo=UTC))
    assert not keeper.is_stale()
    kept.clock.set(datetime(2026, 11, 23, 2, 29, tzinfo=UTC))
    assert not keeper.is_stale()
    kept.clock.set(datetime(2026, 11, 23, 2, 30, tzinfo=UTC))
    assert keeper.is_stale()
