"""The durable queue: equal wishes merge, states move from any process, failed series are retried."""

from __future__ import annotations

import multiprocessing
import sqlite3
from datetime import date
from pathlib import Path

import pytest

from brokers.clock import ManualClock, SystemClock
from brokers.errors import InvalidRequest
from historify.control import Control
from historify.errors import StoreBusy, WrongInterval
from historify.jobs.model import Conflict, ItemState, JobRequest, JobState, Mode, NoSuch
from historify.jobs.queue import Queue
from historify.jobs.work import MOST_TRIES, Gone, Work

WISH = JobRequest(
    (("NSE", "SBIN"), ("NSE", "M&M")), ("1m", "D"), date(2026, 11, 2), date(2026, 11, 19), requested_by="a"
)


@pytest.fixture
def queue(control: Control, clock: ManualClock) -> Queue:
    return Queue(control, clock)


def test_equal_open_wishes_are_one_job(queue):
    first, new = queue.enqueue(WISH)
    assert new
    assert (first.state, first.items, first.symbols) == (JobState.QUEUED, 4, 2)
    turned = JobRequest(WISH.keys[::-1], ("D", "1m", "D"), WISH.start, WISH.end, priority=5)
    second, new = queue.enqueue(turned)
    assert (second.id, new, second.priority) == (first.id, False, 5)
    queue.cancel(first.id)
    third, new = queue.enqueue(WISH)
    assert new
    assert third.id != first.id
    other, new = queue.enqueue(JobRequest(WISH.keys, WISH.intervals, WISH.start, WISH.end, Mode.ALL))
    assert new
    assert [job.id for job in queue.listing()] == [other.id, third.id, first.id]
    assert [job.id for job in queue.listing([JobState.CANCELLED])] == [first.id]
    assert [job.id for job in queue.listing(limit=1, before=other.id)] == [third.id]


def _enqueue(path: str, count: int) -> list[bool]:
    queue = Queue(Control(Path(path)), SystemClock())
    return [
        queue.enqueue(JobRequest((("NSE", f"S{n}"),), ("D",), WISH.start, WISH.end))[1] for n in range(count)
    ]


def test_three_processes_queue_the_same_wishes_once(control, queue):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(_enqueue, [(str(control.path), 10)] * 2)
    assert sum(sum(each) for each in made) == 10
    assert len(queue.listing()) == 10


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"keys": ()}, "symbols"),
        ({"keys": (("NSE", " SBIN"),)}, "symbols"),
        ({"keys": (("NOPE", "SBIN"),)}, "exchange"),
        ({"end": date(2026, 11, 1)}, "end"),
        ({"start": date(1980, 1, 1)}, "start"),
        ({"intervals": ()}, "intervals"),
        ({"keys": tuple(("NSE", f"S{n}") for n in range(10_001))}, "symbols"),
    ],
)
def test_a_bad_wish_names_its_field(queue, change, field):
    plain = {"keys": WISH.keys, "intervals": WISH.intervals, "start": WISH.start, "end": WISH.end}
    with pytest.raises(InvalidRequest) as caught:
        queue.enqueue(JobRequest(**(plain | change)))
    assert list(caught.value.fields) == [field]
    assert queue.listing() == []


def test_computed_intervals_are_not_pulled(queue):
    with pytest.raises(WrongInterval, match="5m is not pulled but computed"):
        queue.enqueue(JobRequest(WISH.keys, ("5m",), WISH.start, WISH.end))


def test_a_running_job_is_paused_resumed_and_cancelled_from_outside(control, queue, clock):
    job = queue.enqueue(WISH)[0]
    work = Work(control, clock, 1)
    running = work.claim()
    assert running.id == job.id
    task = work.next(running)
    assert queue.pause(job.id).state is JobState.PAUSED
    with pytest.raises(Gone):
        work.check(task)
    work.leave(running)
    assert {item.state for item in queue.items(job.id)} == {ItemState.QUEUED}
    assert work.claim() is None
    assert queue.resume(job.id).state is JobState.QUEUED
    assert work.claim().id == job.id
    assert queue.resume(job.id).state is JobState.RUNNING  # nothing to resume
    queue.cancel(job.id)
    with pytest.raises(Gone):
        work.check(task)
    for move in (queue.pause, queue.resume, queue.cancel):
        if move == queue.cancel:
            assert move(job.id).state is JobState.CANCELLED
        else:
            with pytest.raises(Conflict, match="is cancelled"):
                move(job.id)
    for unknown in (queue.show, queue.pause, queue.items, queue.retry_failed):
        with pytest.raises(NoSuch, match="no job 99"):
            unknown(99)


def run(work: Work, fail: set[str]) -> JobState:
    job = work.claim()
    while (task := work.next(job)) is not None:
        work.planned(task, 2, "dhan")
        if task.series.symbol in fail:
            work.failed(task, "no such symbol")
            continue
        for _ in range(2):
            work.advance(task, 10)
        work.done(task)
    return work.finish(job)


def test_failed_series_are_retried_alone(control, queue, clock):
    job = queue.enqueue(WISH)[0]
    work = Work(control, clock, 1)
    with pytest.raises(Conflict, match="is queued"):
        queue.retry_failed(job.id)
    assert run(work, {"M&M"}) is JobState.DONE
    found = queue.show(job.id)
    assert found.partial
    assert (found.done, found.failed, found.rows, found.progress) == (2, 2, 40, 1.0)
    assert found.error == "2 of 4 series failed, e.g. no such symbol"
    assert {i.error for i in queue.items(job.id, ItemState.FAILED)} == {"no such symbol"}
    again = queue.retry_failed(job.id)
    assert (again.state, again.attempt, again.failed) == (JobState.QUEUED, 2, 0)
    claimed = work.claim()
    assert work.next(claimed).series.symbol == "M&M"
    queue.cancel(job.id)
    other = queue.enqueue(WISH)[0]
    with pytest.raises(Conflict, match="a job equal"):
        queue.retry_failed(job.id)
    queue.cancel(other.id)
    assert queue.retry_failed(job.id).state is JobState.QUEUED
    assert run(work, set()) is JobState.DONE
    with pytest.raises(Conflict, match="nothing in job"):
        queue.retry_failed(job.id)


def test_a_job_whose_every_series_failed_has_failed(control, queue, clock):
    job = queue.enqueue(WISH)[0]
    assert run(Work(control, clock, 1), {"SBIN", "M&M"}) is JobState.FAILED
    assert not queue.show(job.id).partial


def test_progress_and_eta_follow_the_calls(control, queue, clock):
    job = queue.enqueue(WISH)[0]
    work = Work(control, clock, 1)
    claimed = work.claim()
    task = work.next(claimed)
    work.planned(task, 3, "dhan")
    clock.advance(2.0)
    work.advance(task, 100)
    found = queue.show(job.id)
    # one of three calls of this series; the three others count as one each until they are planned
    assert (found.chunks, found.chunks_done, found.rows, found.source) == (6, 1, 100, "dhan")
    assert (found.run_s, found.rows_per_s, found.eta_s) == (2.0, 50.0, 10.0)
    assert round(found.progress, 3) == 0.167


def test_a_later_epoch_takes_running_jobs_over_and_the_former_can_change_nothing(control, queue, clock):
    job = queue.enqueue(WISH)[0]
    old = Work(control, clock, 1)
    claimed = old.claim()
    task = old.next(claimed)
    old.planned(task, 2, "dhan")
    old.advance(task, 5)
    new = Work(control, clock, 2)
    assert new.take_over() == 1
    assert (queue.show(job.id).state, queue.show(job.id).attempt) == (JobState.QUEUED, 2)
    again = new.claim()
    old.advance(task, 7)
    for change in (lambda: old.done(task), lambda: old.next(claimed), lambda: old.failed(task, "x")):
        with pytest.raises(Gone):
            change()
    old.let_go(claimed, to=JobState.PAUSED, reason="x")
    assert queue.show(job.id).rows == 5
    assert queue.show(job.id).state is JobState.RUNNING
    same = new.next(again)
    assert same.series == task.series
    new.planned(same, 1, "kotak")
    assert queue.items(job.id)[0].chunks == 2  # one done, one left


def test_greater_priority_first_then_the_older(control, queue, clock):
    made = [
        queue.enqueue(JobRequest((("NSE", f"S{n}"),), ("D",), WISH.start, WISH.end, priority=n % 2))[0].id
        for n in range(4)
    ]
    work = Work(control, clock, 1)
    assert [work.claim().id for _ in range(4)] == [made[1], made[3], made[0], made[2]]
    assert work.claim() is None


def test_a_series_the_broker_keeps_failing_on_is_given_up(control, queue, clock):
    queue.enqueue(WISH)
    work = Work(control, clock, 1)
    job = work.claim()
    first = work.next(job)
    work.put_back(first, "HTTP 500")
    assert work.next(job).series != first.series  # the others have their turn
    for _ in range(MOST_TRIES - 1):
        work.put_back(first, "HTTP 500")
    assert [i.series for i in queue.items(job.id, ItemState.FAILED)] == [first.series]


def test_a_queue_somebody_else_keeps_is_busy_not_broken(tmp_path, clock):
    control = Control(tmp_path / "control.db", busy_s=0.1)
    queue = Queue(control, clock)
    other = sqlite3.connect(control.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        queue.enqueue(WISH)
    assert queue.listing() == []  # reading goes on
    other.execute("ROLLBACK")
    assert queue.enqueue(WISH)[1]
    other.close()
    control.close()
