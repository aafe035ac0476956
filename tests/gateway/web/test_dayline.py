"""The line of the day: made while nobody looks, without asking the broker, kept over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select

from brokers.clock import IST, ManualClock
from brokers.errors import StoreError
from brokers.model import InstrumentKey, Position, Venue
from gateway.store import engine
from gateway.store.daypoints import DayPoints
from gateway.store.tables import DAY_POINTS
from gateway.web.dayline import EVERY_S, STALE_S, DayLine
from gateway.web.live import Live
from tests.gateway.api.rig import Rig, running
from tests.gateway.web.people import make_owner, sign_in

SBIN = InstrumentKey("NSE", "SBIN")
HELD = [Position(SBIN, "MIS", 10, average_price=Decimal(800), ltp=None, pnl=None)]
NINE = datetime(2026, 11, 20, 9, 15, tzinfo=IST).astimezone(UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[engine.Database]:
    one = engine.open(tmp_path / "one.db", Venue.SIM)
    yield one
    one.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NINE)


def rows(database: engine.Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(DAY_POINTS)).scalar_one())


def walk(line: DayLine, clock: ManualClock, seconds: int, moving: bool = True) -> None:
    """A page that is open: a point every five seconds, at a price that rises or stands."""
    for step in range(0, seconds, int(EVERY_S)):
        price = 800.0 + (step / 100 if moving else 0)
        line.add(HELD, lambda _, price=price: price, paper=False)
        clock.advance(EVERY_S)


def test_two_points_a_minute_are_kept_and_the_newest_is_shown(database, clock):
    line = DayLine(clock, DayPoints(database))
    walk(line, clock, 600)
    shown = line.points(paper=False)
    assert rows(database) == 20
    assert len(shown) == 21
    assert [b.at_ms - a.at_ms for a, b in pairwise(shown[:-1])] == [30_000] * 19
    assert shown[-1].unrealised == pytest.approx(59.5)
    assert line.points(paper=True) == []


def test_a_result_that_stands_still_is_kept_every_five_minutes(database, clock):
    line = DayLine(clock, DayPoints(database))
    walk(line, clock, 3600, moving=False)
    assert rows(database) == 12


def test_a_page_opened_late_and_after_a_restart_shows_the_line_since_the_open(database, clock):
    walk(DayLine(clock, DayPoints(database)), clock, 600)
    clock.advance(4 * 3600)
    again = DayLine(clock, DayPoints(database))
    found = again.points(paper=False)
    assert len(found) == 20
    assert found[0].at_ms == int(NINE.timestamp() * 1000)
    walk(again, clock, 10)
    assert len(again.points(paper=False)) == 22
    assert found == again.points(paper=False)[:20]


def test_a_new_day_begins_empty_and_the_old_one_goes(database, clock):
    line = DayLine(clock, DayPoints(database))
    walk(line, clock, 600)
    clock.advance(16 * 3600)
    assert line.points(paper=False) == []
    assert DayLine(clock, DayPoints(database)).points(paper=False) == []
    walk(line, clock, 5)
    assert (rows(database), len(line.points(paper=False))) == (1, 1)


def test_a_day_is_bounded(database, clock):
    line = DayLine(clock, DayPoints(database))
    clock.advance(-(9 * 3600 + 15 * 60))
    for minute in range(24 * 60 * 2):
        line.add(HELD, lambda _, price=800.0 + minute: price, paper=False)
        clock.advance(30.0)
    assert rows(database) == 24 * 60 * 2 == 2880


def test_a_full_disk_costs_only_the_memory_of_it(database, clock, monkeypatch, caplog):
    store = DayPoints(database)

    def full(*_: object, **__: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(store, "add", full)
    line = DayLine(clock, store)
    walk(line, clock, 60)
    assert len(line.points(paper=False)) == 3
    assert "was not kept: disk full" in caplog.text


# -- with nobody looking ---------------------------------------------------------------------------------


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as one:
        one.rest.position_rows = HELD
        yield one


def test_it_is_made_of_what_the_process_knows_without_a_broker_call(rig, monkeypatch):
    rig.parts.desk.positions()
    asked: list[str] = []
    monkeypatch.setattr(rig.rest, "positions", lambda: asked.append("positions") or HELD)
    monkeypatch.setattr(rig.parts.market, "last_price", lambda key: 812.5)
    rig.live._record()
    rig.live._record()
    assert [(p.realised, p.unrealised) for p in rig.live.line.points(paper=False)] == [(0.0, 125.0)]
    make_owner(rig)
    shown = sign_in(rig).get("/web/api/day-line").json["points"]
    assert [point["unrealised"] for point in shown] == [125.0]
    assert asked == []
    kept = DayPoints(rig.parts.preferences._database)
    assert len(kept.of(datetime.now(IST).date(), paper=False)) == 1


def test_without_a_session_or_with_old_positions_there_is_a_gap(rig, monkeypatch):
    line = rig.live.line
    monkeypatch.setattr(rig.parts.desk, "last_positions", lambda: (STALE_S + 1, HELD))
    line.look(rig.parts)
    monkeypatch.setattr(rig.parts.desk, "last_positions", lambda: None)
    line.look(rig.parts)
    assert line.points(paper=False) == []
    monkeypatch.setattr(rig.parts.desk, "last_positions", lambda: (1.0, HELD))
    status = rig.parts.session.status()
    ended = type(status)(**{name: getattr(status, name) for name in status.__slots__} | {"state": "expired"})
    monkeypatch.setattr(rig.parts.session, "status", lambda: ended)
    line.look(rig.parts)
    assert line.points(paper=False) == []
    monkeypatch.undo()
    rig.parts.desk.positions()
    line.look(rig.parts)
    assert len(line.points(paper=False)) == 1


def test_paper_has_its_own_line_while_orders_go_there(rig):
    desk: Any = SimpleNamespace(desk=rig.parts.desk, market=rig.parts.market)
    rig.live.line.look(replace(rig.parts, sandbox=desk))
    assert rig.live.line.points(paper=True) == []
    rig.live.line.look(replace(rig.parts, sandbox=desk, analyzing=lambda: True))
    assert len(rig.live.line.points(paper=True)) == 1


def test_what_goes_wrong_with_it_does_not_end_the_pages_thread(rig, monkeypatch, caplog):
    monkeypatch.setattr(DayLine, "look", lambda self, parts: 1 // 0)
    live: Live = rig.live
    live._record()
    assert "the day's line" in caplog.text


def test_the_age_of_the_last_reading_is_told(rig):
    rig.parts.desk.positions()
    age_s, found = rig.parts.desk.last_positions()
    assert 0 <= age_s < 60
    assert found == HELD
