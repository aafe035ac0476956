"""Waiting and doing things at the same time, behind one seam.

The order path waits for locks, events, answers and the time only through ``Tasks``. The machine's threads are
one implementation; the seeded simulator of ``tests/simulation`` is the other, where nothing waits in
real time and every interleaving can be played again. A lock that is never held across a wait stays a plain
``threading.Lock``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Lock(Protocol):
    """As ``threading.Lock``."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Event(Protocol):
    """As ``threading.Event``."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Condition(Protocol):
    """As ``threading.Condition``."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...

    def notify_all(self) -> None: ...


class Tasks(Protocol):
    """Ways to wait. The names and meanings are those of ``threading`` and ``concurrent.futures``."""

    def lock(self) -> Lock: ...

    def event(self) -> Event: ...

    def condition(self) -> Condition: ...

    def sleep(self, seconds: float) -> None: ...

    def start(self, name: str, work: Callable[[], T]) -> Future[T]:
        """Begin ``work`` beside the caller; its result or exception is in the future.

        Nobody is held up at exit by work that hangs.
        """
        ...

    def result(self, future: Future[T], timeout_s: float | None = None) -> T:
        """Wait for a future. Raises ``TimeoutError`` when the time is up, else whatever the work raised."""
        ...


def fulfil(future: Future[T], work: Callable[[], T]) -> None:
    """Do it here; whoever asks the future gets what came of it, or has it raised."""
    try:
        future.set_result(work())
    except BaseException as exc:  # noqa: BLE001 - raised by whoever asks
        future.set_exception(exc)


class Threads:
    """``Tasks`` with the machine's threads, which are daemons."""

    lock = staticmethod(threading.Lock)
    event = staticmethod(threading.Event)
    condition = staticmethod(threading.Condition)
    sleep = staticmethod(time.sleep)

    def start(self, name: str, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def body() -> None:
            fulfil(future, work)

        threading.Thread(target=body, name=name, daemon=True).start()
        return future

    def result(self, future: Future[T], timeout_s: float | None = None) -> T:
        return future.result(timeout_s)


THREADS = Threads()


def each(tasks: Tasks, work: Callable[[T], R], items: list[T], at_once: int) -> list[tuple[T, R]]:
    """``work`` on every item, several at a time; answers in the order of the items.

    Raises what one raised, after all have ended.
    """
    found: dict[int, R] = {}
    todo: Iterator[tuple[int, T]] = iter(list(enumerate(items)))
    guard = threading.Lock()

    def worker() -> None:
        while True:
            with guard:
                number, item = next(todo, (-1, None))
            if item is None or number < 0:
                return
            found[number] = work(item)

    workers = [tasks.start(f"each-{n}", worker) for n in range(min(at_once, len(items)))]
    problems: list[Exception] = []
    for one in workers:
        try:
            tasks.result(one)
        except Exception as exc:  # noqa: BLE001 - raised below
            problems.append(exc)
    if problems:
        raise problems[0]
    return [(item, found[number]) for number, item in enumerate(items)]
