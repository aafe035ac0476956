"""The loop in one process, with scripted instances: who pulls, who takes over, what waits in the inbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import SystemClock
from brokers.errors import BrokerDown, LoginRequired
from historify import lease as leases
from historify.errors import PullerBusy
from historify.jobs.model import JobRequest, JobState
from historify.jobs.plan import Limits
from historify.jobs.queue import Queue
from historify.lease import PullerLock
from historify.model import Series
from historify.paths import StorePaths
from historify.puller import puller as loops
from historify.puller.config import Candidate
from historify.puller.puller import Parts, Puller
from historify.puller.roster import Roster
from historify.puller.source import Capability
from historify.store import SegmentStore
from tests.e2e.fleet import until
from tests.historify.puller.test_runner import WEEK, answer

IN_LIFE_S = loops.WAITING_S
KEYS = tuple(("NSE", f"S{n}") for n in range(4))
WISH = JobRequest(KEYS, ("D",), date(2026, 11, 16), date(2026, 11, 19))


class Instance:
    """Its api answers until ``down`` or ``ended`` says otherwise."""

    def __init__(self, name: str, *, standby: bool = False) -> None:
        self.candidate = Candidate(name, "dhan", f"http://127.0.0.1:1/{name}", standby)
        self.asked: list[Series] = []
        self.ends_after = 10**9
        self.reason = ""
        self.down = False
        self.before: Any = lambda: None

    def capability(self) -> Capability:
        if self.down:
            raise BrokerDown(f"{self.candidate.instance} does not answer")
        return Capability(
            Limits("dhan", {"D": 400}, frozenset({"NSE"})), self.reason, tried=bool(self.reason)
        )

    def pull(self, series: Series, start: date, end: date) -> bytes:
        self.asked.append(series)
        self.before()
        if len(self.asked) > self.ends_after:
            self.reason = "session refused"
            raise LoginRequired("expired")
        return answer(WEEK)

    def close(self) -> None:
        pass


class Shown:
    def __init__(self) -> None:
        self.flushed = 0

    def dirty(self) -> None:
        pass

    def flush(self) -> None:
        self.flushed += 1


class Loop:
    def __init__(self, folder: Path, *instances: Instance) -> None:
        calendar, clock = FileCalendar(), SystemClock()
        self.paths = StorePaths(folder / "h.duckdb")
        self.store = SegmentStore(self.paths, calendar=calendar)
        self.queue = Queue(self.store.control, clock)
        self.stop, self.shown = threading.Event(), Shown()
        self.puller = Puller(
            Parts(
                control=self.store.control,
                lock=PullerLock(self.paths.lock),
                store=self.store,
                roster=Roster(instances, clock),  # type: ignore[arg-type]
                calendar=calendar,
                clock=clock,
                publisher=self.shown,
                stop=self.stop,
            )
        )
        self.thread = threading.Thread(target=self.puller.run)
        self.thread.start()

    def done(self, job_id: int) -> Any:
        return until(
            lambda: (job := self.queue.show(job_id)).state is JobState.DONE and job, 20, "the job is done"
        )

    def close(self) -> None:
        self.stop.set()
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.store.close()


@pytest.fixture
def first() -> Instance:
    return Instance("first")


@pytest.fixture
def second() -> Instance:
    return Instance("second", standby=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks more often than in life; what it decides is the same."""
    monkeypatch.setattr(loops, "LOOK_S", 0.05)
    monkeypatch.setattr(loops, "WAITING_S", 0.1)


@pytest.fixture
def loop(tmp_path: Path, first: Instance, second: Instance) -> Iterator[Loop]:
    one = Loop(tmp_path, first, second)
    yield one
    one.close()


def test_the_standby_goes_on_under_a_new_epoch(loop, first, second):
    first.ends_after = 2
    began = time.monotonic()
    job = loop.done(loop.queue.enqueue(WISH)[0].id)
    assert time.monotonic() - began < 15
    assert (job.rows, job.failed, job.attempt) == (16, 0, 1)
    assert [s.symbol for s in first.asked] == ["S0", "S1", "S2"]
    assert [s.symbol for s in second.asked] == ["S2", "S3"]
    holder = leases.current(loop.store.control)
    assert (holder.name, holder.epoch, holder.released) == ("second", 2, False)
    report = loop.puller.report()
    assert (report["puller"], report["ready"], report["jobs"]) == ("second", True, {"done": 1})
    assert loop.shown.flushed >= 1
    # the designated one is back: the next job is its own again
    first.reason, first.ends_after = "", 10**9
    loop.done(loop.queue.enqueue(JobRequest(KEYS[:1], ("D",), date(2026, 11, 9), date(2026, 11, 13)))[0].id)
    assert first.asked[-1].symbol == "S0"
    assert leases.current(loop.store.control).epoch == 3


def test_nobody_capable_is_a_wait_with_its_reasons_and_it_ends(loop, first, second):
    first.down, second.reason = True, "second: session none"
    job = loop.queue.enqueue(WISH)[0]
    until(lambda: loop.puller.report()["state"] == "waiting for capability", 10, "it waits")
    found = until(lambda: (j := loop.queue.show(job.id)).error and j, 10, "the job says so")
    assert found.state is JobState.QUEUED
    assert "first does not answer; second: session none" in found.error
    assert leases.current(loop.store.control) is None or leases.current(loop.store.control).released
    second.reason = ""
    assert loop.done(job.id).error == ""


def test_a_person_may_move_the_pull_in_the_middle(loop, first, second):
    def ask() -> None:
        if len(first.asked) == 1:
            leases.request_release(loop.store.control, "page", SystemClock(), instance="second")

    first.before = ask
    job = loop.done(loop.queue.enqueue(WISH)[0].id)
    assert (len(first.asked), [s.symbol for s in second.asked]) == (1, ["S1", "S2", "S3"])
    assert job.failed == 0


def test_who_asks_for_an_instance_that_may_not_pull_is_told_so(loop, first):
    loop.done(loop.queue.enqueue(WISH)[0].id)
    leases.request_release(loop.store.control, "page", SystemClock(), instance="third")
    said = until(lambda: loop.puller.report()["refused"], 10, "it is refused")
    assert said == "page asked for third to pull, which may not: first, second may"
    assert leases.requested(loop.store.control) is None
    assert leases.current(loop.store.control).name == "first"


def test_an_idle_puller_moves_at_once_and_passes_over_who_cannot(loop, first, second):
    control, clock = loop.store.control, SystemClock()

    def puller():
        return loop.puller.report()["puller"]

    until(lambda: puller() == "first", 10, "the designated one holds the lease")
    leases.request_release(control, "page", clock, instance="second")
    until(lambda: puller() == "second", 2, "it moves")
    assert (loop.puller.report()["designated"], loop.puller.report()["candidates"]) == (
        "first",
        ["second", "first"],
    )
    first.reason = "first: session refused"
    leases.request_release(control, "page", clock, instance="first")
    until(lambda: leases.current(control).epoch == 3 and puller() == "second", 2, "it is looked at")
    assert loop.puller.report()["passed_over"] == ["first: session refused"]


def test_a_wish_is_kept_while_nobody_can_pull(tmp_path, first, second):
    first.down = second.down = True
    loop = Loop(tmp_path, first, second)
    try:
        until(lambda: loop.puller.report()["state"] == "waiting for capability", 15, "it waits")
        leases.request_release(loop.store.control, "page", SystemClock(), instance="second")
        until(lambda: leases.requested(loop.store.control) is None, 5, "it is looked at")
        first.down = second.down = False
        until(lambda: loop.puller.report()["puller"] == "second", 5, "the wish counts")
    finally:
        loop.close()


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "with a job"])
def test_an_api_that_has_just_started_is_seen_within_a_second(tmp_path, first, monkeypatch, idle):
    monkeypatch.setattr(loops, "WAITING_S", IN_LIFE_S)
    first.down = True
    loop = Loop(tmp_path, first)
    try:
        if not idle:
            loop.queue.enqueue(WISH)
        until(lambda: loop.puller.report()["state"] == "waiting for capability", 15, "it waits")
        began, first.down = time.monotonic(), False
        until(lambda: loop.puller.report()["puller"] == "first", 15, "it is seen")
        assert time.monotonic() - began < 1.5
    finally:
        loop.close()


def test_a_second_puller_only_reads_until_the_first_is_gone(loop, first, tmp_path):
    until(lambda: loop.puller.report()["ready"], 10, "the first holds the lock")
    other = Loop(tmp_path, Instance("other"))
    try:
        report = until(
            lambda: (r := other.puller.report())["state"] == "reader" and r, 10, "the second says it reads"
        )
        assert report["ready"] is False
        assert "puller.lock" in report["waiting_for"][0]
        with pytest.raises(PullerBusy):
            PullerLock(loop.paths.lock).acquire()
        loop.stop.set()
        until(lambda: other.puller.report()["ready"], 10, "the second takes over")
    finally:
        other.close()
