"""Values of jobs, watchlists and schedules. Light: standard library and the floor only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from brokers.errors import AlgoError, InvalidRequest
from brokers.model import Exchange
from historify.errors import WrongInterval
from historify.model import STORED, Series

MOST_ITEMS = 20_000
OLDEST = date(1990, 1, 1)

Key = tuple[str, str]
"""``exchange, symbol``."""


class JobState(StrEnum):
    """Where a job stands; the last three are its end."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    """Every series was asked; ``Job.partial`` tells that some of them failed."""
    FAILED = "failed"
    """No series could be pulled."""
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether it may still bring bars."""
        return self in OPEN


OPEN = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PAUSED})


class ItemState(StrEnum):
    """Where one series of a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Mode(StrEnum):
    """What a job asks for."""

    MISSING = "missing"
    """Days never asked for, and the day that was still running when it was asked."""
    ALL = "all"
    """Everything again, also what is stored."""


class NoSuch(AlgoError):
    """There is no such job, watchlist or schedule; the message names those there are, or how to list them."""

    code = "NOT_FOUND"


class Conflict(AlgoError):
    """It cannot be done in the state it is in; nothing was changed."""

    code = "CONFLICT"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What somebody wants pulled.

    Attributes:
        keys: ``(exchange, symbol)`` in OpenAlgo's grammar, letters as written.
        intervals: ``1m``, ``D`` or both; all others are computed from these.
        start, end: Trading dates (IST), both inclusive; an end in the future is cut to today when it runs.
        requested_by: Who, for the person reading the list (``api dhan``, ``cli``, ``schedule nightly``).
        priority: Greater runs first.
    """

    keys: tuple[Key, ...]
    intervals: tuple[str, ...]
    start: date
    end: date
    mode: Mode = Mode.MISSING
    requested_by: str = ""
    priority: int = 0

    def checked(self) -> JobRequest:
        """The same without repetitions.

        Raises:
            InvalidRequest: Names every bad field.
            WrongInterval: Not a stored one.
        """
        wrong: dict[str, object] = {}
        if not self.keys:
            wrong["symbols"] = ["At least one symbol is needed."]
        known = set(Exchange)
        bad = sorted({exchange for exchange, _ in self.keys if exchange not in known})
        if bad:
            wrong["exchange"] = [f"Not an exchange: {', '.join(bad)}. One of {', '.join(Exchange)}."]
        if any(not symbol or symbol != symbol.strip() or len(symbol) > 100 for _, symbol in self.keys):
            wrong["symbols"] = ["A symbol is empty, padded or longer than 100 characters."]
        if self.start > self.end:
            wrong["end"] = [f"{self.end} is before the start, {self.start}."]
        if self.start < OLDEST:
            wrong["start"] = [f"{self.start} is before {OLDEST}."]
        if not self.intervals:
            wrong["intervals"] = [f"One of {', '.join(STORED)} is needed."]
        keys, intervals = tuple(dict.fromkeys(self.keys)), tuple(dict.fromkeys(self.intervals))
        if len(keys) * len(intervals) > MOST_ITEMS:
            wrong["symbols"] = [f"At most {MOST_ITEMS} series (symbols times intervals) in one job."]
        if wrong:
            raise InvalidRequest("; ".join(f"{k}: {v[0]}" for k, v in _lists(wrong)), fields=wrong)
        for interval in intervals:
            if interval not in STORED:
                raise WrongInterval(
                    f"interval {interval} is not pulled but computed; pull {' or '.join(STORED)} instead"
                )
        return JobRequest(
            keys, intervals, self.start, self.end, self.mode, self.requested_by[:100], self.priority
        )

    def series(self) -> list[Series]:
        """Every instrument at every interval."""
        return [Series(exchange, symbol, each) for exchange, symbol in self.keys for each in self.intervals]

    def fingerprint(self) -> str:
        """Equal for equal wishes, whoever has them."""
        parts = [sorted(self.keys), sorted(self.intervals), str(self.start), str(self.end), str(self.mode)]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:32]


def _lists(wrong: dict[str, object]) -> list[tuple[str, list[str]]]:
    return [(name, list(found)) for name, found in wrong.items() if isinstance(found, list)]


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands.

    Attributes:
        symbols: How many instruments; ``first_keys`` shows the first few of them.
        items, done, failed: Series in all, pulled, and given up.
        chunks, chunks_done: Broker calls planned so far and made in the present attempt (series that were
            not yet looked at count as one call).
        rows: Bars received.
        attempt: 1 at first; grows when another puller takes the job over or failed series are retried.
        epoch: Of the lease under which it runs or ran; 0 before.
        error: Why it failed or waits, empty otherwise.
        run_s: Seconds it has been running, over all attempts.
        source: The broker that answers, empty before the first answer.
    """

    id: int
    state: JobState
    mode: Mode
    intervals: tuple[str, ...]
    start: date
    end: date
    symbols: int
    first_keys: tuple[Key, ...]
    requested_by: str
    priority: int
    items: int
    done: int
    failed: int
    chunks: int
    chunks_done: int
    rows: int
    attempt: int
    epoch: int
    error: str
    source: str
    created_at_s: int
    started_at_s: int | None
    updated_at_s: int
    ended_at_s: int | None
    run_s: float

    @property
    def partial(self) -> bool:
        """Done, but some series failed: ``retry_failed`` asks for those again."""
        return self.state is JobState.DONE and self.failed > 0

    @property
    def progress(self) -> float:
        """0 to 1, by broker calls."""
        if self.state is JobState.DONE or not self.chunks:
            return 1.0 if self.state is JobState.DONE else 0.0
        return min(1.0, self.chunks_done / self.chunks)

    @property
    def rows_per_s(self) -> float:
        """Over the time it really pulled; 0.0 before that."""
        return self.rows / self.run_s if self.run_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; None when not running or not yet known."""
        if self.state is not JobState.RUNNING or not self.chunks_done:
            return None
        return self.run_s / self.chunks_done * max(0, self.chunks - self.chunks_done)


@dataclass(frozen=True, slots=True)
class JobItem:
    """One series of a job. ``rows`` are bars received; ``error`` says why it failed."""

    series: Series
    state: ItemState
    rows: int
    chunks: int
    chunks_done: int
    attempt: int
    error: str
    source: str
    updated_at_s: int


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A named list; ``symbols`` is how many it names, ``created_at_s`` epoch seconds."""

    name: str
    note: str
    symbols: int
    created_at_s: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pull that repeats. Times of day are IST.

    Attributes:
        watchlist: Name of the list whose instruments it pulls; empty: ``keys``.
        lookback_days: Calendar days before today that are looked at each time.
        every_s: Repeats this often, from the start of the window on; 0: once a day at ``at``.
        at: ``HH:MM`` of a daily run.
        days: Weekdays it runs on, Monday is 0.
        window: ``HH:MM, HH:MM``: only between these two; empty: the whole day.
        market: Only while the market of ``exchange`` is open (a daily run: only on its trading days).
        exchange: Whose sessions ``market`` means.
    """

    name: str
    watchlist: str = ""
    keys: tuple[Key, ...] = ()
    intervals: tuple[str, ...] = ("1m", "D")
    lookback_days: int = 5
    every_s: int = 0
    at: str = ""
    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    window: tuple[str, str] | None = None
    market: bool = False
    exchange: str = "NSE"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule with its history. ``last_due_at_s``: the due time of its newest run."""

    schedule: Schedule
    created_at_s: int
    last_due_at_s: int | None
    last_job: int | None
    last_error: str


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """One run. ``job``: None when nothing could be queued, ``error`` says why."""

    schedule: str
    due_at_s: int
    ran_at_s: int
    job: int | None
    error: str
