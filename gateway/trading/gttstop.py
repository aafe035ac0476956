"""A panic's part for good-till-triggered orders (GTT): whoever keeps them, none may fire any more.

What counts is the book of whoever keeps them: a cancellation somebody took is asked about until the book
shows it. One that fires while it is being cancelled has become an order, and orders are cancelled after this.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from brokers.clock import Clock
from brokers.errors import AlgoError
from gateway.trading.fates import Fate, One

CONFIRM_S = 0.3
"""How old a taken cancellation must be to be asked for again when the book still shows it armed."""
MOST_REFUSALS = 6
WAITING_CODES = frozenset(
    {"RATE_LIMITED", "AUTH_EXPIRED", "BROKER_DISCONNECTED", "NOT_READY", "OUTCOME_UNKNOWN", "ORDER_NOT_OPEN"}
)
"""Nothing was refused for good: it is tried again, or the book tells what became of it."""
_UNNUMBERED = re.compile(r"G[0-9]+")
_WAITS = frozenset({"sending", "unknown"})
_WORKING = _WAITS | {"active", "triggering"}


class Outcome(Protocol):
    """What became of calling one off."""

    @property
    def code(self) -> str: ...

    @property
    def message(self) -> str: ...


class GttBook(Protocol):
    """``triggers.parts.Gtts``, as far as a panic needs it."""

    def standing(self) -> Mapping[str, str]: ...

    def call_off(self, trigger_id: str) -> Outcome: ...


class GttStop:
    """The GTT orders of one panic. ``changed`` is told after every step; thread-safe."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._guard = threading.Lock()
        self._ones: dict[str, One] = {}
        self._source: GttBook | None = None

    def attach(self, source: GttBook) -> None:
        """Where this desk's GTT orders are; without one there are none."""
        self._source = source

    def begin(self) -> None:
        """Another panic."""
        with self._guard:
            self._ones = {}

    def ones(self) -> tuple[One, ...]:
        with self._guard:
            return tuple(self._ones.values())

    def going(self) -> int:
        return sum(one.state is Fate.GOING for one in self.ones())

    def todo(self) -> list[str]:
        """Those to be cancelled now."""
        return [
            one.orderid
            for one in self.ones()
            if one.state is Fate.GOING and not one.taken_at and one.message not in _WAITING_FOR.values()
        ]

    def look(self, *, leave: bool = False) -> str | None:
        """Take one reading of the book into account; why there was none, or None.

        Args:
            leave: The policy cancels nothing: what is armed is named and left.
        """
        if self._source is None:
            return None
        read_at = self._clock.monotonic()
        try:
            shown = self._source.standing()
        except AlgoError as exc:
            return f"the GTT book could not be read: {exc} ({exc.code})"
        with self._guard:
            for trigger_id, state in shown.items():
                if state in _WORKING and trigger_id not in self._ones:
                    fate = Fate.LEFT if leave else Fate.GOING
                    self._ones[trigger_id] = One(trigger_id, fate, message=_waiting_for(trigger_id, state))
            for one in list(self._ones.values()):
                if one.state not in (Fate.GOING, Fate.FAILED):
                    continue
                after = _after(one, shown.get(one.orderid), read_at)
                if after is None:
                    del self._ones[one.orderid]
                else:
                    self._ones[one.orderid] = after
        self._changed()
        return None

    def cancel(self, trigger_id: str) -> None:
        """Ask for one cancellation and note what came of it."""
        assert self._source is not None
        try:
            answer = self._source.call_off(trigger_id)
            code, message = answer.code, answer.message
        except AlgoError as exc:
            code, message = exc.code, str(exc)
        with self._guard:
            one = self._ones[trigger_id]
            if code:
                one = replace(one, code=code, message=message, taken_at=0.0)
                if code not in WAITING_CODES:
                    one = replace(one, refusals=one.refusals + 1)
                    if one.refusals >= MOST_REFUSALS:
                        one = replace(one, state=Fate.FAILED)
            else:
                said = "the cancellation was taken; the book does not show it yet"
                one = replace(one, code="", message=said, taken_at=self._clock.monotonic())
            self._ones[trigger_id] = one
        self._changed()


_WAITING_FOR = {
    "unknown": "whether the broker took it is not known yet",
    "triggering": "its order is on its way, or may be",
}


def _waiting_for(trigger_id: str, state: str) -> str:
    """Why it cannot be cancelled now; empty when it can."""
    if state == "triggering":
        return _WAITING_FOR[state]
    # one with a number of the broker's can be cancelled, whatever word stands beside it
    waits = state in _WAITS and _UNNUMBERED.fullmatch(trigger_id)
    return _WAITING_FOR["unknown"] if waits else ""


def _after(one: One, state: str | None, read_at: float) -> One | None:
    """What a reading makes of one; None: it is gone, and stands there under the number it got."""
    if state is None:
        if _UNNUMBERED.fullmatch(one.orderid):
            return None
        if one.taken_at:
            return replace(one, state=Fate.CANCELLED, code="", message="")
        return one if one.code else replace(one, message="not in the book any more")
    if state in _WORKING:
        waiting = _waiting_for(one.orderid, state)
        if waiting or one.message in _WAITING_FOR.values():
            return replace(one, message=waiting)
        if one.taken_at and read_at > one.taken_at + CONFIRM_S:
            # taken, but still armed: the next round asks again
            return replace(one, taken_at=0.0)
        return one
    if state == "cancelled" or (state == "gone" and one.taken_at):
        return replace(one, state=Fate.CANCELLED, code="", message="")
    return replace(one, state=Fate.ENDED, code="", message=f"it is {state}")
