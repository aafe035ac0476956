"""Runs one job: plans each series, asks, decodes, publishes. Everything it touches is handed in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brokers.calendar import Calendar
from brokers.clock import IST, Clock
from brokers.errors import (
    BrokerDown,
    BrokerError,
    InvalidRequest,
    LoginRequired,
    NotSupported,
    RateLimited,
)
from historify.contract import BarStore, Fence
from historify.errors import BadBars, StoreBusy, StoreDamaged, StoreFull
from historify.jobs import plan
from historify.jobs.model import Job, JobState
from historify.jobs.plan import Chunk, Limits
from historify.jobs.work import Gone, Task, Work
from historify.model import Bars, Provenance
from historify.puller import decode
from historify.puller.source import Source

log = logging.getLogger(__name__)

RATE_TRIES = 12
LONGEST_RATE_WAIT_S = 60.0
DOWN_WAITS_S = (0.5, 1.5)
"""Between the tries of a broker that does not answer; a standby must be at work within 15 s."""
BUSY_TRIES = 5
LOOK_S = 0.5
"""How often a wait looks whether its job is still wanted."""


class Incapable(Exception):
    """Nothing can be pulled through this instance now; the job goes on elsewhere or later."""


class Unanswered(Incapable):
    """The broker answers nothing, not only this series."""


class Stopped(Exception):
    """The process is to end."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a job is run with.

    Attributes:
        fence: Of the lease under which ``work`` was made.
        on_publish: Told after each batch that changed something.
        between: Other work of the one who writes, carried out between two series.
        others: Who else may be asked for a series that the broker of ``source`` does not have.
    """

    store: BarStore
    work: Work
    source: Source
    limits: Limits
    fence: Fence
    calendar: Calendar
    clock: Clock
    stop: threading.Event
    on_publish: Callable[[], None] = lambda: None
    between: Callable[[], None] = lambda: None
    others: Callable[[], Sequence[tuple[Source, Limits]]] = tuple


@dataclass(frozen=True, slots=True)
class _Route:
    """One broker to ask, and how to read its answers."""

    source: Source
    limits: Limits
    decode: decode.Decoder


class Runner:
    """Raises ``Incapable`` and ``Stopped`` with the job put back into the queue, ``LeaseLost`` as it is."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._first = _route(bench.source, bench.limits)

    def run(self, job: Job) -> None:
        work = self._bench.work
        try:
            while (task := work.next(job)) is not None:
                self._series(task)
                self._bench.between()
            state = work.finish(job)
            log.info("job %d is %s", job.id, state)
        except Gone as exc:
            work.leave(job)
            log.info("%s; left alone", exc)
        except (Incapable, Stopped) as exc:
            work.let_go(job, to=JobState.QUEUED, reason=str(exc))
            raise
        except StoreFull as exc:
            work.let_go(job, to=JobState.PAUSED, reason=str(exc))
            log.error("job %d is paused: %s", job.id, exc)

    def _series(self, task: Task) -> None:
        """Pull one series; what is wrong with it alone becomes its own error."""
        work = self._bench.work
        try:
            try:
                self._pull(task, self._first)
            except (InvalidRequest, NotSupported) as exc:
                self._elsewhere(task, exc)
        except LoginRequired as exc:
            raise Incapable(str(exc)) from exc
        except BrokerDown as exc:
            if self._answers_nothing(task):
                # no series is given up for that, however long it lasts
                raise Unanswered(f"waiting for the broker: {exc}") from exc
            # this one comes last, so that it alone cannot hold up the job
            work.put_back(task, str(exc))
        except (InvalidRequest, NotSupported, BrokerError, BadBars, StoreDamaged) as exc:
            log.warning("job %d, %s: %s (%s)", task.job.id, task.series, exc, exc.code)
            work.failed(task, str(exc))
        else:
            work.done(task)

    def _pull(self, task: Task, route: _Route) -> None:
        for chunk in self._plan(task, route):
            self._bench.work.check(task)
            self._chunk(task, chunk, route)
            if self._bench.stop.is_set():
                raise Stopped("the puller was stopped")

    def _elsewhere(self, task: Task, first: InvalidRequest | NotSupported) -> None:
        """Ask the other candidates for what the first one's broker does not have.

        Raises ``first`` when none of them has it, ``BrokerError`` when the one that may have it failed.
        """
        for source, limits in self._bench.others():
            try:
                self._pull(task, _route(source, limits))
            except (InvalidRequest, NotSupported) as exc:
                log.info("%s: not at %s either: %s", task.series, source.candidate.instance, exc)
            except LoginRequired as exc:
                # the job itself can go on through the first one
                raise BrokerError(f"{first}; {source.candidate.instance}: {exc}") from exc
            else:
                log.info("%s came from %s: %s", task.series, source.candidate.instance, first)
                return
        raise first

    def _answers_nothing(self, task: Task) -> bool:
        """Whether the broker does not answer for another series either, or none is known to ask for."""
        other = self._bench.work.other(task)
        if other is None:
            return True
        bench = self._bench
        today = bench.clock.now().astimezone(IST).date()
        try:
            bench.source.pull(other, today, today)
        except (BrokerDown, InvalidRequest, NotSupported):
            # the latter two are the api's own words: they say nothing of the broker
            return True
        except LoginRequired as exc:
            raise Incapable(str(exc)) from exc
        except BrokerError:
            pass
        return False

    def _plan(self, task: Task, route: _Route) -> list[Chunk]:
        bench, job = self._bench, task.job
        covered = bench.store.coverage(task.series, job.start, job.end)
        chunks = plan.chunks(
            task.series,
            job.start,
            job.end,
            covered=covered,
            limits=route.limits,
            calendar=bench.calendar,
            now=bench.clock.now(),
            mode=job.mode,
        )
        bench.work.planned(task, len(chunks), route.limits.broker)
        return chunks

    def _chunk(self, task: Task, chunk: Chunk, route: _Route) -> None:
        bench, series, mode = self._bench, task.series, task.job.mode
        asked_at_s = int(bench.clock.now().timestamp())
        body = self._ask(task, chunk, route.source)
        bars, unsound = decode.bars(route.decode, body, series.interval, chunk.start, chunk.end)
        if unsound:
            log.warning("%s: %d impossible bars left out", series, unsound)
        covered = bench.store.coverage(series, chunk.start, chunk.end)
        wanted = plan.kept(bars, series, chunk, covered, mode)
        note = f"{unsound} impossible bars left out" if unsound else ""
        provenance = Provenance(route.limits.broker, asked_at_s, task.job.id, note)
        self._put(task, wanted, chunk, provenance)
        bench.work.advance(task, len(wanted))

    def _put(self, task: Task, bars: Bars, chunk: Chunk, provenance: Provenance) -> None:
        bench = self._bench
        states = plan.outcome(bars, task.series, chunk, bench.calendar, bench.clock.now())
        for attempt in range(1, BUSY_TRIES + 1):
            try:
                report = bench.store.put(
                    task.series, bars, fence=bench.fence, provenance=provenance, covered=states
                )
            except StoreBusy:
                if attempt == BUSY_TRIES:
                    raise
                self._wait(task, LOOK_S)
            else:
                if report.added or report.changed:
                    bench.on_publish()
                return

    def _ask(self, task: Task, chunk: Chunk, source: Source) -> bytes:
        """One answer, waiting out the broker's limits. Raises as ``Source.pull``."""
        limited = down = 0
        while True:
            try:
                return source.pull(task.series, chunk.start, chunk.end)
            except RateLimited as exc:
                limited += 1
                if limited >= RATE_TRIES:
                    raise
                wait_s = min(max(exc.retry_after_s, 0.5 * 2 ** min(limited, 6)), LONGEST_RATE_WAIT_S)
            except BrokerDown as exc:
                if self._bench.stop.is_set():
                    raise Stopped("the puller was stopped") from exc
                down += 1
                if down > len(DOWN_WAITS_S):
                    raise
                wait_s = DOWN_WAITS_S[down - 1]
            self._wait(task, wait_s)

    def _wait(self, task: Task, seconds: float) -> None:
        """Raises ``Gone`` or ``Stopped`` as soon as the job or the process is no longer wanted."""
        clock = self._bench.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            if self._bench.stop.wait(min(left, LOOK_S)):
                raise Stopped("the puller was stopped")
            self._bench.work.check(task)


def _route(source: Source, limits: Limits) -> _Route:
    return _Route(source, limits, decode.decoder(limits.broker))
