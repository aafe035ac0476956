"""One job against a real store: what a broker's refusals, a full disk and a person's wishes do to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from brokers import registry
from brokers.calendar import FileCalendar
from brokers.clock import IST, ManualClock
from brokers.errors import BrokerDown, InvalidRequest, LoginRequired, RateLimited
from historify import lease as leases
from historify.errors import LeaseLost, StoreFull
from historify.jobs.model import ItemState, Job, JobRequest, JobState
from historify.jobs.plan import Limits
from historify.jobs.queue import Queue
from historify.jobs.work import MOST_TRIES, Work
from historify.lease import PullerLock
from historify.model import BarRequest, DayState, Series
from historify.paths import StorePaths
from historify.puller.config import Candidate
from historify.puller.runner import Bench, Incapable, Runner, Stopped, Unanswered
from historify.store import SegmentStore

NSE = FileCalendar()
WISH = JobRequest((("NSE", "M&M"), ("NSE", "NIFTY 50")), ("D",), date(2026, 11, 16), date(2026, 11, 20))


def answer(days: list[date]) -> bytes:
    """As Dhan words it: a daily bar at IST midnight, numbers as floats."""
    at = [datetime.combine(day, time(0), IST).timestamp() for day in days]
    row = [100.05] * len(days)
    prices = {"open": row, "high": row, "low": row, "close": row, "volume": row}
    return json.dumps({**prices, "timestamp": at}).encode()


WEEK = [date(2026, 11, day) for day in range(16, 20)]


@dataclass
class Source:
    """Answers in turn: an error is raised, bytes are returned; afterwards the whole week."""

    script: list[Exception | bytes] = field(default_factory=list)
    asked: list[tuple[Series, date, date]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    candidate: Candidate = field(default_factory=lambda: Candidate("other", "dhan", ""))

    def pull(self, series: Series, start: date, end: date) -> bytes:
        self.asked.append((series, start, end))
        self.before()
        said = self.script.pop(0) if self.script else answer(WEEK)
        if isinstance(said, Exception):
            raise said
        return said


class Stop(threading.Event):
    """Waiting moves the clock instead."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.waited = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.waited += timeout or 0.0
        self._clock.advance(timeout or 0.0)
        return self.is_set()


class Rig:
    def __init__(self, folder: Path) -> None:
        # Friday 2026-11-20, an hour after the opening
        self.clock = ManualClock(datetime(2026, 11, 20, 4, 45, tzinfo=UTC))
        paths = StorePaths(folder / "h.duckdb")
        self.store = SegmentStore(paths, calendar=NSE, clock=self.clock)
        self.lock = PullerLock(paths.lock)
        self.lock.acquire()
        self.queue = Queue(self.store.control, self.clock)
        self.source = Source()
        self.stop = Stop(self.clock)
        self.published = 0

    def bench(self, **more: Any) -> Bench:
        lease = leases.acquire(self.store.control, self.lock, "dhan", self.clock)
        offered = registry.spec("dhan").capabilities
        return Bench(
            **{
                "store": self.store,
                "work": Work(self.store.control, self.clock, lease.epoch),
                "source": self.source,
                "limits": Limits("dhan", offered.history_days, offered.history_exchanges),
                "fence": lease,
                "calendar": NSE,
                "clock": self.clock,
                "stop": self.stop,
                "on_publish": self.count,
            }
            | more
        )

    def count(self) -> None:
        self.published += 1

    def run(self, wish: JobRequest = WISH, **more: Any) -> Job:
        job = self.queue.enqueue(wish)[0]
        bench = self.bench(**more)
        bench.work.take_over()
        claimed = bench.work.claim()
        assert claimed is not None
        try:
            Runner(bench).run(claimed)
        finally:
            leases.current(self.store.control)
            bench.fence.release()  # type: ignore[attr-defined]
        return self.queue.show(job.id)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.lock.release()
    made.store.close()


def test_a_job_stores_what_was_answered_and_remembers_what_was_asked(rig):
    rig.source.script = [answer(WEEK), answer(WEEK[:2])]
    job = rig.run()
    assert (job.state, job.rows, job.done, job.chunks_done) == (JobState.DONE, 6, 2, 2)
    assert rig.published == 2
    bars = rig.store.get(BarRequest("NSE", "M&M", "D", WISH.start, WISH.end))
    assert next(bars.rows()) == (1_794_787_200, 100.05, 100.05, 100.05, 100.05, 100, 0)
    coverage = rig.store.coverage(Series("NSE", "NIFTY 50", "D"), WISH.start, WISH.end)
    assert [str(coverage[day]) for day in [*WEEK, WISH.end]] == ["full", "full", "empty", "empty", "partial"]
    # again: only the day that was still running
    rig.source.asked.clear()
    assert rig.run().rows == 0
    assert {(start, end) for _, start, end in rig.source.asked} == {(WISH.end, WISH.end)}


def test_a_rate_limit_is_waited_for_and_costs_nothing_else(rig):
    rig.source.script = [RateLimited("slow down", retry_after_s=7.0), RateLimited("", retry_after_s=0.0)]
    job = rig.run()
    assert (job.state, job.failed) == (JobState.DONE, 0)
    assert rig.stop.waited >= 7.0 + 2.0
    assert len(rig.source.asked) == 4


def test_a_symbol_the_broker_does_not_know_fails_alone(rig):
    rig.source.script = [InvalidRequest("Symbol 'M&M' not found", code="SYMBOL_NOT_FOUND")]
    job = rig.run()
    assert (job.state, job.partial, job.done, job.failed) == (JobState.DONE, True, 1, 1)
    [item] = rig.queue.items(job.id, ItemState.FAILED)
    assert (item.series.symbol, item.error) == ("M&M", "Symbol 'M&M' not found")


def test_an_exchange_this_broker_lacks_fails_with_its_name(rig):
    job = rig.run(limits=Limits("kotak", {"D": 180}, frozenset({"BSE"})))
    assert (job.state, job.failed) == (JobState.FAILED, 2)
    assert "kotak has no history of NSE" in job.error
    assert rig.source.asked == []


def test_an_answer_that_cannot_be_read_is_an_error_not_an_empty_day(rig):
    rig.source.script = [b"<html>"]
    job = rig.run()
    assert job.failed == 1
    assert rig.store.coverage(Series("NSE", "M&M", "D"), WISH.start, WISH.end) == {}


def test_impossible_bars_are_left_out(rig):
    plain = json.loads(answer(WEEK))
    plain["low"] = [100.05, 0.0, 100.05, 101.0]
    rig.source.script = [json.dumps(plain).encode()]
    job = rig.run(replace(WISH, keys=WISH.keys[:1]))
    assert (job.state, job.rows) == (JobState.DONE, 2)


def test_an_ended_session_puts_the_job_back_where_it_stood(rig):
    rig.source.script = [answer(WEEK), LoginRequired("expired")]
    with pytest.raises(Incapable, match="expired"):
        rig.run()
    [job] = rig.queue.listing()
    assert (job.state, job.error, job.done, job.rows) == (JobState.QUEUED, "expired", 1, 4)
    assert {i.state for i in rig.queue.items(job.id)} == {ItemState.DONE, ItemState.QUEUED}
    rig.source.asked.clear()
    assert rig.run().state is JobState.DONE
    assert [series.symbol for series, _, _ in rig.source.asked] == ["NIFTY 50"]  # it goes on


@pytest.mark.parametrize("keys", [WISH.keys, WISH.keys[:1]], ids=["two series", "one alone"])
def test_a_broker_that_answers_nothing_is_waited_for_however_long(rig, keys):
    rig.source.script = [BrokerDown("no answer")] * 100
    for _ in range(MOST_TRIES + 2):
        with pytest.raises(Unanswered, match="waiting for the broker: no answer"):
            rig.run(replace(WISH, keys=keys))
    # three tries, and one for another series if there is one
    assert len(rig.source.asked) == (3 + (len(keys) > 1)) * (MOST_TRIES + 2)
    [waits] = rig.queue.listing()
    assert (waits.state, waits.error) == (JobState.QUEUED, "waiting for the broker: no answer")
    rig.source.script.clear()
    assert rig.run(replace(WISH, keys=keys)).failed == 0


def test_one_series_the_broker_fails_on_does_not_hold_up_the_others(rig):
    keys = tuple(("NSE", f"S{n}") for n in range(4))
    rig.source.script = [BrokerDown("HTTP 500")] * 3
    job = rig.run(replace(WISH, keys=keys))
    assert (job.state, job.done) == (JobState.DONE, 4)
    asked = [series.symbol for series, _, _ in rig.source.asked]
    assert asked == ["S0"] * 3 + ["S1"] + ["S1", "S2", "S3", "S0"]  # S1 first to see whether it answers


def test_a_series_the_broker_always_fails_on_is_given_up(rig):
    def fails(_: Any = None) -> None:
        if rig.source.asked[-1][0].symbol == "M&M":
            raise BrokerDown("HTTP 500")

    rig.source.before = fails
    job = rig.run()
    assert (job.state, job.done, job.failed) == (JobState.DONE, 1, 1)
    assert rig.queue.items(job.id, ItemState.FAILED)[0].error == "HTTP 500"


def test_what_one_broker_lacks_another_named_one_is_asked_for(rig):
    other = Source()
    lacking = Limits("kotak", {"D": 180}, frozenset({"BSE"}))
    dhan = Limits("dhan", {"D": 400}, frozenset({"NSE"}))
    rig.source.script = [InvalidRequest("Symbol 'X' not found", code="SYMBOL_NOT_FOUND")]
    job = rig.run(others=lambda: [(other, lacking), (other, dhan)])
    assert (job.state, job.done, job.failed) == (JobState.DONE, 2, 0)
    assert [series.symbol for series, _, _ in other.asked] == ["M&M"]
    assert [s.symbol for s, _, _ in rig.source.asked] == ["M&M", "NIFTY 50"]
    assert {row.source for row in rig.store.catalog()} == {"dhan"}
    # nobody has it: the first one's own words; the one that has it cannot now: both are named
    rig.source.script = [InvalidRequest("not found")]
    wish = JobRequest((("NSE", "X"),), ("D",), WISH.start, WISH.end)
    assert "not found" in rig.run(wish, others=lambda: [(other, lacking)]).error
    rig.source.script, other.script = [InvalidRequest("not found")], [LoginRequired("expired")]
    other.candidate = Candidate("dhan", "dhan", "")
    assert "not found; dhan: expired" in rig.run(wish, others=lambda: [(other, dhan)]).error


def test_pause_takes_effect_between_two_calls(rig):
    rig.source.before = lambda: rig.queue.pause(1)
    day_by_day = Limits("dhan", {"D": 1}, frozenset({"NSE"}))
    job = rig.run(limits=day_by_day)
    assert (job.state, len(rig.source.asked), job.rows) == (JobState.PAUSED, 1, 1)
    rig.source.before = lambda: None
    rig.queue.resume(job.id)
    assert rig.run().state is JobState.DONE


def test_cancel_ends_a_wait_for_the_broker(rig):
    rig.source.script = [RateLimited("slow down", retry_after_s=60.0)]
    rig.source.before = lambda: rig.queue.cancel(1)
    job = rig.run()
    assert (job.state, len(rig.source.asked)) == (JobState.CANCELLED, 1)
    assert rig.stop.waited < 1.0


def test_a_full_disk_pauses_the_job_with_the_reason(rig, monkeypatch):
    def full(*args: object, **more: object) -> None:
        raise StoreFull("no room on the disk")

    monkeypatch.setattr(rig.store, "put", full)
    job = rig.run()
    assert (job.state, job.error, job.rows) == (JobState.PAUSED, "no room on the disk", 0)
    monkeypatch.undo()
    rig.queue.resume(job.id)
    assert rig.run().state is JobState.DONE


def test_a_stop_puts_the_job_back(rig):
    rig.source.before = rig.stop.set
    with pytest.raises(Stopped):
        rig.run()
    assert rig.queue.listing()[0].state is JobState.QUEUED


def test_a_puller_whose_epoch_is_over_publishes_nothing(rig):
    def taken() -> None:
        leases.acquire(rig.store.control, None, "other", rig.clock, force=True)

    rig.source.before = taken
    with pytest.raises(LeaseLost):
        rig.run()
    assert rig.store.catalog() == []
    assert rig.store.coverage(Series("NSE", "M&M", "D"), WISH.start, WISH.end) == {}


def test_what_another_broker_filled_in_stays(rig):
    """Two gaps are filled by one call to another broker: the day between keeps the bar it has."""
    rig.source.script = [answer([WEEK[1], WEEK[3]])]
    rig.run(replace(WISH, keys=WISH.keys[:1], end=WEEK[3]))
    series = Series("NSE", "M&M", "D")
    with rig.store.control.transaction() as tx:
        tx.execute("DELETE FROM coverage WHERE day IN ('2026-11-16', '2026-11-18')")
    other = json.loads(answer(WEEK))
    other["volume"] = [7.0] * 4
    rig.source.script = [json.dumps(other).encode()]
    rig.run(replace(WISH, keys=WISH.keys[:1], end=WEEK[3]))
    volumes = list(rig.store.get(BarRequest("NSE", "M&M", "D", WEEK[0], WEEK[3])).volume)
    assert volumes == [7, 100, 7, 100]
    assert rig.source.asked[-1][1:] == (WEEK[0], WEEK[2])
    assert rig.store.coverage(series, WEEK[2], WEEK[2]) == {WEEK[2]: DayState.FULL}
