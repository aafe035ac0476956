"""Many callers, one broker call: quotes asked for while a slot is awaited ride together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from brokers.model import Instrument, InstrumentKey, Quote
from gateway.trading.limiter import Grant

Quotes = dict[InstrumentKey, Quote]


@dataclass(eq=False, slots=True)
class _Ticket:
    """One caller's wish and what became of it."""

    instruments: Sequence[Instrument]
    done: bool = False
    answer: Quotes = field(default_factory=dict)
    error: Exception | None = None


class QuoteBatches:
    """Leader and followers: whoever finds nobody waiting for a slot waits for it, then takes all along.

    Args:
        fetch: The broker's call, at most ``largest`` instruments.
        slot: Waits for the broker's quote window; raises ``RateLimited`` at its deadline.
        largest: The broker's ``quote_batch``.
    """

    def __init__(
        self, fetch: Callable[[Sequence[Instrument]], Quotes], slot: Callable[[], Grant], largest: int
    ) -> None:
        self._fetch = fetch
        self._slot = slot
        self._largest = largest
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._leader_waits = False
        self.calls = 0

    def ask(self, instruments: Sequence[Instrument]) -> Quotes:
        """Quotes of these; keys the broker had nothing for are missing. Raises as the broker's call."""
        answer: Quotes = {}
        for start in range(0, len(instruments), self._largest):
            answer |= self._ask(instruments[start : start + self._largest])
        return answer

    def _ask(self, instruments: Sequence[Instrument]) -> Quotes:
        ticket = _Ticket(instruments)
        with self._changed:
            self._waiting.append(ticket)
        while not ticket.done:
            with self._changed:
                while not ticket.done and (self._leader_waits or ticket not in self._waiting):
                    self._changed.wait()
                if ticket.done:
                    break
                self._leader_waits = True
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    def _lead(self, own: _Ticket) -> None:
        """Wait for the slot, take everybody who fits, call, hand out."""
        flight = [own]
        try:
            try:
                grant = self._slot()
            finally:
                with self._changed:
                    self._leader_waits = False
                    flight = self._board(own)
                    self._changed.notify_all()
            with grant:
                self.calls += 1
                unique = {i.key: i for ticket in flight for i in ticket.instruments}
                found = self._fetch(list(unique.values()))
            for ticket in flight:
                keys = [i.key for i in ticket.instruments]
                ticket.answer = {key: found[key] for key in keys if key in found}
        except Exception as exc:  # noqa: BLE001 (every rider of the flight gets it raised in its own thread)
            for ticket in flight:
                ticket.error = exc
        finally:
            with self._changed:
                for ticket in flight:
                    ticket.done = True
                self._changed.notify_all()

    def _board(self, own: _Ticket) -> list[_Ticket]:
        """Own ticket first, then in order of arrival while there is room; they leave the queue."""
        flight = [own]
        keys = {i.key for i in own.instruments}
        for ticket in self._waiting:
            if ticket is own:
                continue
            joined = keys | {i.key for i in ticket.instruments}
            if len(joined) <= self._largest:
                keys = joined
                flight.append(ticket)
        self._waiting = [ticket for ticket in self._waiting if ticket not in flight]
        return flight
