"""How long things were up: looked at every five seconds, added up by day.

The feed's figures are in its heartbeat (``<run>/heartbeat/<instance>.json``), written each second by the feed
process; one that is older than ``STALE_S`` says that there is no feed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from brokers.clock import Clock
from brokers.model import FeedState

STALE_S = 10.0
UP, OPEN, SESSION, FEED = "time.up_ms", "time.open_ms", "time.session_ms", "time.feed_ms"
"""Milliseconds: of this process; of it while the market was open; of those with a broker session; with a live
feed."""
RECONNECTS = "feed.reconnects"


class _Beat(msgspec.Struct):
    at_ms: int
    feed: str
    reconnects: int


class Presence:
    """Call it with the seconds since the last call. Used by one thread.

    Args:
        is_open: Whether the market of this instance is in session now.
        has_session: Whether there is a broker session now.
    """

    def __init__(
        self,
        heartbeat: Path,
        clock: Clock,
        *,
        is_open: Callable[[], bool],
        has_session: Callable[[], bool],
    ) -> None:
        self._heartbeat = heartbeat
        self._clock = clock
        self._is_open = is_open
        self._has_session = has_session
        self._reconnects: int | None = None

    def __call__(self, since_s: float) -> Mapping[str, int]:
        since_ms = int(since_s * 1000)
        found = {UP: since_ms}
        beat = self._beat()
        if self._is_open():
            found[OPEN] = since_ms
            found[SESSION] = since_ms if self._has_session() else 0
            found[FEED] = since_ms if beat is not None and beat.feed == FeedState.LIVE else 0
        if beat is not None:
            last, self._reconnects = self._reconnects, beat.reconnects
            if last is not None:
                # a feed that began anew counts from zero again
                found[RECONNECTS] = beat.reconnects - last if beat.reconnects >= last else beat.reconnects
        return found

    def _beat(self) -> _Beat | None:
        """Its newest, None when there is none of now."""
        try:
            beat = msgspec.json.decode(self._heartbeat.read_bytes(), type=_Beat)
        except (OSError, msgspec.MsgspecError):
            return None
        age_s = self._clock.time_ns() / 1e9 - beat.at_ms / 1000
        return beat if abs(age_s) <= STALE_S else None
