"""Work nobody waits for to its end. Daemon threads: a broker that hangs must not hold up our exit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run(name: str, work: Callable[[], T]) -> Future[T]:
    """Start ``work`` on a thread of its own; its result or exception is in the future."""
    future: Future[T] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - raised by whoever asks the future
            future.set_exception(exc)

    threading.Thread(target=body, name=name, daemon=True).start()
    return future
