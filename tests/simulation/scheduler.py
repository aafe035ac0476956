"""Virtual time and one thing at a time: every task is a greenlet, every wait an entry in one heap.

What happens next is decided by the heap and one seeded generator alone, so a run can be played again. The
scheduler is the ``Tasks`` of the code under test: its locks, events, futures, sleeps and threads.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

T = TypeVar("T")
EPOCH = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
EPOCH_NS = int(EPOCH.timestamp()) * 1_000_000_000
IDLE = ("panic",)
"""Threads that have nothing to do in a simulated home without limits, and would only look at the clock."""


class Killed(GreenletExit):
    """The process this task belongs to is gone; nothing of it runs any more."""


class Stuck(AssertionError):
    """The simulation does not get on: a deadlock, or a task that never waits."""


class Life:
    """One life of a process: its tasks end together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.tasks: list[Task] = []


class Task(greenlet):
    """One thread of the code under test. ``op`` is what the client asked for, where there is one."""

    life: Life
    op: Any = None


class Scheduler:
    """The heap, the time and the dice."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now = 0.0
        self.steps = 0
        self._heap: list[tuple[float, float, int, Callable[[], object]]] = []
        self._count = 0
        self._hub = getcurrent()
        self.failures: list[BaseException] = []

    def at(self, when: float, what: Callable[[], object]) -> None:
        """Do something then; what falls on the same moment follows in a drawn order."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self.dice.random(), self._count, what))

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        self.at(self.now + seconds, what)

    def run(self, until: float, done: Callable[[], bool] = lambda: False, most: int = 400_000) -> None:
        """Let time pass to ``until``, or until ``done`` says so."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, _, what = heapq.heappop(heap)
            what()
            if self.failures:
                raise self.failures[0]
            self.steps += 1
            if self.steps > most:
                raise Stuck(f"{most} steps and no end at {self.now:.3f} s")
            if done():
                return
        self.now = until

    def spawn(self, life: Life, work: Callable[[], object], op: Any = None) -> None:
        """Begin a task at this moment."""

        def body() -> None:
            if life.dead:
                return
            try:
                work()
            except GreenletExit:
                pass
            except BaseException as exc:  # noqa: BLE001 - the run fails with it
                self.failures.append(exc)

        task = Task(body, parent=self._hub)
        task.life, task.op = life, op
        life.tasks.append(task)
        self.at(self.now, lambda: None if life.dead else task.switch())

    def kill(self, life: Life) -> None:
        """End every task of a life where it stands. Called from the hub only."""
        life.dead = True
        for task in life.tasks:
            if task and not task.dead:
                task.throw(Killed)
        life.tasks.clear()

    def current(self) -> Task:
        task = getcurrent()
        assert isinstance(task, Task), "only a task may wait"
        if task.life.dead:
            raise Killed
        return task

    def block(self, waiter: Waiter, timeout: float | None = None) -> bool:
        """Give up the turn until woken; False when the time was up first."""
        task = self.current()
        waiter.task = task
        if timeout is not None:
            self.after(max(0.0, timeout), waiter.expire)
        self._hub.switch()
        if task.life.dead:
            raise Killed
        return waiter.woken

    def sleep(self, seconds: float) -> None:
        self.block(Waiter(self), seconds)


class Waiter:
    """One wait of one task."""

    __slots__ = ("over", "scheduler", "task", "woken")

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.task: Task | None = None
        self.over = False
        self.woken = False

    def wake(self, *_: object) -> None:
        if not self.over:
            self.over = self.woken = True
            self.scheduler.at(self.scheduler.now, self._resume)

    def expire(self) -> None:
        if not self.over:
            self.over = True
            self._resume()

    def _resume(self) -> None:
        if self.task is not None and not self.task.dead and not self.task.life.dead:
            self.task.switch()


class SimLock:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: list[Waiter] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        ends = None if timeout < 0 else self._scheduler.now + timeout
        while self._held:
            if not blocking:
                return False
            waiter = Waiter(self._scheduler)
            self._waiting.append(waiter)
            left = None if ends is None else ends - self._scheduler.now
            woken = self._scheduler.block(waiter, left)
            if not woken:
                self._waiting.remove(waiter)
                if self._held:
                    return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False
        if self._waiting:
            self._waiting.pop(self._scheduler.dice.randrange(len(self._waiting))).wake()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimEvent:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Waiter] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for waiter in self._waiting:
            waiter.wake()
        self._waiting.clear()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if self._set:
            return True
        waiter = Waiter(self._scheduler)
        self._waiting.append(waiter)
        if not self._scheduler.block(waiter, timeout) and waiter in self._waiting:
            self._waiting.remove(waiter)
        return self._set


class SimCondition:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = SimLock(scheduler)
        self._waiting: list[Waiter] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        waiter = Waiter(self._scheduler)
        self._waiting.append(waiter)
        self._lock.release()
        woken = self._scheduler.block(waiter, timeout)
        if not woken and waiter in self._waiting:
            self._waiting.remove(waiter)
        self._lock.acquire()
        return woken

    def notify_all(self) -> None:
        for waiter in self._waiting:
            waiter.wake()
        self._waiting.clear()


class SimTasks:
    """``gateway.trading.tasks.Tasks`` for one life of the process."""

    def __init__(self, scheduler: Scheduler, life: Life) -> None:
        self._scheduler = scheduler
        self._life = life

    def lock(self) -> SimLock:
        return SimLock(self._scheduler)

    def event(self) -> SimEvent:
        return SimEvent(self._scheduler)

    def condition(self) -> SimCondition:
        return SimCondition(self._scheduler)

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def start(self, name: str, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        if name in IDLE:
            return future
        inherited = getattr(getcurrent(), "op", None)

        def body() -> None:
            try:
                future.set_result(work())
            except GreenletExit:
                raise
            except BaseException as exc:  # noqa: BLE001 - raised by whoever asks the future
                future.set_exception(exc)

        self._scheduler.spawn(self._life, body, inherited)
        return future

    def result(self, future: Future[T], timeout_s: float | None = None) -> T:
        if not future.done():
            waiter = Waiter(self._scheduler)
            future.add_done_callback(waiter.wake)
            self._scheduler.block(waiter, timeout_s)
        if not future.done():
            raise TimeoutError
        return future.result()


class SimClock:
    """``brokers.clock.Clock`` on the scheduler's time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._scheduler.now)

    def time_ns(self) -> int:
        return EPOCH_NS + round(self._scheduler.now * 1e9)

    def monotonic(self) -> float:
        return 1000.0 + self._scheduler.now
