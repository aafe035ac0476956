"""One look a second for all open pages, none for nobody; what was seen goes to each as Server-Sent Events."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)
EVERY_S = 1.0
BEAT_S = 10.0
"""A stream that has nothing to say says so, so that a gone browser is noticed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One look as the pages get it, encoded once for all of them. ``at``: monotonic seconds."""

    number: int
    at: float
    fleet: dict[str, Any]
    books: dict[str, Any]
    books_number: int
    fleet_text: bytes
    books_text: bytes


class Watch:
    """Keeps the newest look. Thread-safe.

    Args:
        look: Answers (fleet, books) now; may take a while, is called by one thread at a time.
    """

    def __init__(
        self, look: Callable[[], tuple[dict[str, Any], dict[str, Any]]], every_s: float = EVERY_S
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._looking = threading.Lock()
        self._changed = threading.Condition()
        self._shown: Shown | None = None
        self._listeners = 0
        self._stopped = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends every stream."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._hurry.set()

    @property
    def listeners(self) -> int:
        return self._listeners

    def now(self) -> Shown:
        """The newest look, at most ``every_s`` old."""
        asked = time.monotonic()
        shown = self._shown
        if shown is None or asked - shown.at > self._every_s:
            shown = self._again(asked)
        return shown

    def soon(self) -> None:
        """Something was done: look without waiting for the next round."""
        self._hurry.set()

    def stream(self, alive: Callable[[], bool]) -> Iterator[bytes]:
        """Events ``fleet`` and, when they differ from before, ``books``; ``gone`` once ``alive`` says no."""
        number = books = -1
        with self._listening():
            while not self._stopped:
                shown = self._after(number)
                if not alive():
                    yield b"event: gone\ndata: {}\n\n"
                    return
                if shown is None:
                    yield b": nothing new\n\n"
                    continue
                text = b"event: fleet\ndata: " + shown.fleet_text + b"\n\n"
                if shown.books_number != books:
                    text += b"event: books\ndata: " + shown.books_text + b"\n\n"
                number, books = shown.number, shown.books_number
                yield text

    @contextmanager
    def _listening(self) -> Iterator[None]:
        with self._changed:
            self._listeners += 1
        self._hurry.set()
        try:
            yield
        finally:
            with self._changed:
                self._listeners -= 1

    def _after(self, number: int) -> Shown | None:
        """A look newer than ``number``; None when there is none for ``BEAT_S``."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or (self._shown is not None and self._shown.number > number), BEAT_S
            )
            shown = self._shown
            return shown if shown is not None and shown.number > number else None

    def _run(self) -> None:
        while not self._stopped:
            self._hurry.wait(self._every_s if self._listeners else None)
            self._hurry.clear()
            if self._listeners and not self._stopped:
                try:
                    self._again(time.monotonic())
                except Exception:
                    # top of the thread: the next look may be a good one
                    log.exception("looking at the fleet failed")

    def _again(self, asked: float) -> Shown:
        with self._looking:
            before = self._shown
            if before is not None and before.at >= asked:
                return before  # somebody else has looked meanwhile
            fleet, books = self._look()
            books_text = _encoded(books)
            same = before is not None and before.books_text == books_text
            shown = Shown(
                before.number + 1 if before else 1,
                time.monotonic(),
                fleet,
                books,
                before.books_number if before and same else (before.books_number + 1 if before else 1),
                _encoded(fleet),
                books_text,
            )
            with self._changed:
                self._shown = shown
                self._changed.notify_all()
            return shown


def _encoded(plain: dict[str, Any]) -> bytes:
    """On one line, as an event's data must be."""
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
