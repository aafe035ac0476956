"""When the file people open is made anew: soon after a job, and every ``publish_s`` while one runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from brokers.clock import Clock
from brokers.errors import AlgoError

log = logging.getLogger(__name__)

SOON_S = 0.5
"""Jobs that end one after the other make one new face."""
AGAIN_S = 15.0
"""After a refusal: somebody has the file open read-write."""


class FacePublisher:
    """A thread of its own, so that a pull never waits for it.

    Args:
        publish: Makes the face anew when it is not current, or in any case when told so (its tables of jobs
            are older than its bars); False when it could not be replaced now. Asked every ``publish_s``.
    """

    def __init__(self, publish: Callable[[bool], bool], publish_s: float, clock: Clock) -> None:
        self._publish = publish
        self._publish_s = publish_s
        self._clock = clock
        self._wake = threading.Event()
        self._lock = threading.Lock()
        # what an earlier run left unpublished
        self._due: float | None = clock.monotonic()
        self._force = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="face", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(within_s)

    def dirty(self) -> None:
        """Something was published into the store."""
        self._set(self._publish_s)

    def flush(self) -> None:
        """A job ended."""
        self._force = True
        self._set(SOON_S)

    def _set(self, after_s: float) -> None:
        due = self._clock.monotonic() + after_s
        with self._lock:
            self._due = due if self._due is None else min(self._due, due)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                due = self._due
            left = None if due is None else due - self._clock.monotonic()
            if left is None or left > 0:
                self._wake.wait(left)
                self._wake.clear()
                continue
            with self._lock:
                self._due = None
            # also when nothing was published: somebody may delete or edit the file
            self._set(self._publish_s if self._try() else AGAIN_S)

    def _try(self) -> bool:
        force, self._force = self._force, False
        try:
            return self._publish(force)
        except AlgoError as exc:
            log.error("the face was not published: %s (%s)", exc, exc.code)
        except Exception:
            log.exception("publishing the face")  # top of the thread
        return False
