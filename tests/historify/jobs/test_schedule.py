"""Schedules and watchlists: due times, windows, once whoever looks."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST, ManualClock
from brokers.errors import InvalidRequest
from historify.control import Control
from historify.jobs import timing
from historify.jobs.model import Conflict, NoSuch, Schedule
from historify.jobs.queue import Queue
from historify.jobs.schedule import Schedules
from historify.jobs.watchlist import Watchlists

NSE = FileCalendar()
EVERY = Schedule("live", keys=(("NSE", "SBIN"),), every_s=300, market=True)
DAILY = Schedule("night", keys=(("NSE", "SBIN"),), at="18:30", days=(0, 1, 2, 3, 4))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+05:30")


@pytest.mark.parametrize(
    ("now", "due", "following"),
    [
        ("11-20T09:10", None, "11-20T09:15"),  # Friday, before the opening
        ("11-20T09:19", "11-20T09:15", "11-20T09:20"),
        ("11-20T15:31", "11-20T15:25", "11-23T09:15"),  # over the weekend
        ("11-21T12:00", None, "11-23T09:15"),
    ],
)
def test_every_few_minutes_in_market_hours(now, due, following):
    assert timing.due(EVERY, at(now), NSE) == (due and at(due))
    assert timing.upcoming(EVERY, at(now), NSE) == at(following)


def test_a_window_narrows_the_market():
    narrow = replace(EVERY, window=("10:00", "10:10"))
    assert timing.upcoming(narrow, at("11-20T09:30"), NSE) == at("11-20T10:00")
    assert timing.due(narrow, at("11-20T12:00"), NSE) == at("11-20T10:05")


def test_once_a_day_on_its_weekdays():
    assert timing.due(DAILY, at("11-20T18:29"), NSE) is None
    assert timing.due(DAILY, at("11-20T18:30"), NSE) == at("11-20T18:30")
    assert timing.upcoming(DAILY, at("11-20T19:00"), NSE) == at("11-23T18:30")
    assert timing.due(replace(DAILY, enabled=False), at("11-20T18:30"), NSE) is None


def test_a_daily_run_of_the_market_leaves_holidays_out():
    holiday = next(d.on for d in NSE.days() if "NSE" in d.closed and d.on.weekday() < 5)
    evening = datetime.combine(holiday, datetime.min.time(), IST) + timedelta(hours=20)
    assert timing.due(DAILY, evening, NSE) is not None
    assert timing.due(replace(DAILY, market=True), evening, NSE) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"keys": ()}, "watchlist"),
        ({"watchlist": "a"}, "watchlist"),
        ({"at": "18:30"}, "at"),
        ({"every_s": 0, "at": "25:00"}, "at"),
        ({"every_s": 5}, "every"),
        ({"window": ("12:00", "11:00")}, "window"),
        ({"days": (7,)}, "days"),
        ({"lookback_days": 400}, "lookback_days"),
        ({"intervals": ("5m",)}, "intervals"),
    ],
)
def test_a_bad_schedule_names_its_field(change, field):
    with pytest.raises(InvalidRequest) as caught:
        timing.check(replace(EVERY, **change))
    assert list(caught.value.fields) == [field]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at("11-20T09:14"))


def test_a_due_time_runs_once_however_many_look(control: Control, clock: ManualClock):
    Schedules(control, clock, NSE).add(replace(EVERY, lookback_days=3))
    clock.set(at("11-20T09:16"))
    everybody = [Schedules(control, clock, NSE) for _ in range(6)]
    made: list[int] = []
    threads = [threading.Thread(target=lambda one=one: made.append(len(one.tick()))) for one in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 0, 0, 0, 0, 1]
    [job] = Queue(control, clock).listing()
    assert (job.start, job.end, job.requested_by) == (
        date(2026, 11, 17),
        date(2026, 11, 20),
        "schedule live",
    )
    schedules = everybody[0]
    [run] = schedules.runs("live")
    assert run.job == job.id
    # one that had looked before the other's run was there
    assert schedules._run(schedules.show("live").schedule, run.due_at_s) is None
    clock.set(at("11-20T09:21"))
    [second] = schedules.tick()
    assert second.job == job.id  # it has not been pulled yet: the same wish is the same job
    schedules.pause("live")
    clock.set(at("11-20T09:26"))
    assert schedules.tick() == []
    assert schedules.run_now("live") == job.id
    schedules.resume("live")
    schedules.delete("live")
    with pytest.raises(NoSuch, match="no schedule 'live'"):
        schedules.show("live")


def test_a_schedule_made_after_its_due_time_waits_for_the_next(control, clock):
    clock.set(at("11-20T19:00"))
    schedules = Schedules(control, clock, NSE)
    schedules.add(DAILY)
    assert schedules.tick() == []
    with pytest.raises(Conflict):
        schedules.add(DAILY)


def test_a_schedule_pulls_its_watchlist_as_it_stands_then(control, clock):
    lists, schedules = Watchlists(control, clock), Schedules(control, clock, NSE)
    with pytest.raises(NoSuch, match="no watchlist 'mine'"):
        schedules.add(replace(EVERY, keys=(), watchlist="mine"))
    lists.create("mine")
    schedules.add(replace(EVERY, keys=(), watchlist="mine", intervals=("D",)))
    clock.set(at("11-20T09:16"))
    [run] = schedules.tick()
    assert run.job is None
    assert "symbol" in run.error  # an empty list is an error of the run, never a silent success
    assert lists.add("mine", [("NSE", "NIFTY 50"), ("NSE", "m&m"), ("NSE", "A/B"), ("NSE", "A/B")]) == 3
    clock.set(at("11-20T09:21"))
    [run] = schedules.tick()
    items = Queue(control, clock).items(run.job)
    assert [item.series.symbol for item in items] == ["A/B", "NIFTY 50", "m&m"]
    with pytest.raises(Conflict, match="schedule live pulls"):
        lists.delete("mine")


def test_watchlists_by_hand(control, clock):
    lists = Watchlists(control, clock)
    lists.create("a", [("NSE", "SBIN")], note="mine")
    with pytest.raises(Conflict):
        lists.create("a")
    with pytest.raises(InvalidRequest):
        lists.add("a", [("XX", "SBIN")])
    with pytest.raises(InvalidRequest):
        lists.create(" ")
    assert lists.add("b", [("NSE", "X")]) == 1  # made if need be
    assert [(one.name, one.symbols, one.note) for one in lists.listing()] == [("a", 1, "mine"), ("b", 1, "")]
    assert lists.remove("a", [("NSE", "SBIN"), ("NSE", "Y")]) == 1
    assert lists.keys("a") == []
    lists.delete("a")
    with pytest.raises(NoSuch, match="there is b"):
        lists.keys("a")
