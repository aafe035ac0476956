"""Whether somebody called a panic: what the order path asks before an entry leaves."""

from __future__ import annotations

import logging
import threading

from brokers.errors import StoreError
from gateway.panicfile import Panic, PanicFile, spoken
from gateway.store.journal import Journal
from gateway.trading.parts import DeskParts

log = logging.getLogger(__name__)


class Switch:
    """Whether entries are blocked: the file of the home, the instance's own row, whichever spoke last."""

    def __init__(self, journal: Journal, parts: DeskParts) -> None:
        self._journal = journal
        self._clock = parts.clock
        self._by = parts.instance
        self._file = PanicFile(parts.panic_file) if parts.panic_file else None
        self._lock = threading.Lock()
        self._stored = self._state = _stored(journal.blocked())

    def state(self) -> Panic | None:
        """The last word, None when none was ever spoken. No network, no database."""
        seen = self._file.read() if self._file else None
        state = self._state
        if seen is None or (state is not None and seen.serial <= state.serial):
            return state
        with self._lock:
            if self._state is None or seen.serial > self._state.serial:
                self._state = seen
                said = (
                    f"blocked by {seen.by or 'somebody'}: {seen.reason}" if seen.active else "allowed again"
                )
                log.warning("entries %s", said)
            return self._state

    def reason(self) -> str:
        """Why entries are blocked now; empty when they are not."""
        state = self.state()
        return state.reason if state is not None and state.active else ""

    def call(self, reason: str, policy: str) -> Panic:
        """Block entries on every instance of this home.

        It counts before it is on disk, and is on disk when this returns.

        Raises:
            StoreError: This instance is blocked, but neither file nor database could be written.
        """
        return self._speak(True, reason=reason or "blocked", policy=policy)

    def resume(self) -> Panic:
        """Allow entries on every instance again. Raises ``StoreError``: then nothing has changed."""
        return self._speak(False, reason="resumed", policy="block")

    def keep(self) -> None:
        """Put what was read from the file into the instance's own database too."""
        state = self._state
        if state is not None and state is not self._stored:
            self._journal.set_blocked(state.to_text())
            self._stored = state

    def _speak(self, active: bool, *, reason: str, policy: str) -> Panic:
        self.state()
        with self._lock:
            before = self._state
            after = before.serial if before else 0
            word = spoken(
                active, reason=reason, policy=policy, by=self._by, after=after, now_ns=self._clock.time_ns
            )
            if active:
                self._state = word
            problems: list[str] = []
            if self._file is not None:
                try:
                    self._file.write(word)
                except OSError as exc:
                    problems.append(f"{self._file.path.name}: {exc.strerror or exc}")
            if problems and not active:
                raise StoreError(f"entries stay blocked: {problems[0]}")
            try:
                self._journal.set_blocked(word.to_text())
                self._stored = word
            except StoreError as exc:
                if self._file is None or problems:
                    raise
                log.error("the panic is in the file, but not in the database: %s", exc)
            self._state = word
        if problems:
            raise StoreError(f"entries are blocked on this instance alone: {problems[0]}")
        log.warning("entries %s: %s", "blocked" if active else "allowed", reason)
        return word


def _stored(text: str) -> Panic | None:
    """What the database says; an older version kept the reason alone."""
    if not text:
        return None
    try:
        return Panic.from_text(text)
    except ValueError:
        return Panic(1, True, text, "block", "", "")
