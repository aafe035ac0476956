"""The answer an order was given, kept with its row: a repeat of its client_order_id gets it again (O4)."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from brokers.clock import Clock
from brokers.errors import StoreError
from brokers.model import InstrumentKey
from gateway.store.journal import Change, Journal, JournalRow, Times
from gateway.trading import replies
from gateway.trading.answers import OrderAnswer
from gateway.trading.once import refuse_other

log = logging.getLogger(__name__)


class FirstAnswers:
    """Thread-safe."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def keep(self, row: JournalRow, answer: OrderAnswer) -> None:
        """Raises ``StoreError``."""
        self._journal.apply(self._change(row, answer))

    def conclude(self, change: Change, reply: Callable[[JournalRow], OrderAnswer]) -> OrderAnswer:
        """Outcome and answer in one commit: what is answered is on disk, and the disk was asked once.

        Raises:
            StoreError: Neither is on disk.
        """
        given: list[OrderAnswer] = []

        def then(row: JournalRow) -> Change:
            given[:] = [reply(row)]
            return self._change(row, given[0])

        self._journal.apply(change, then)
        return given[0]

    def stored(self, client_order_id: str, terms: str) -> OrderAnswer | None:
        """What an order with this id was answered; None when there is none.

        Raises:
            InvalidRequest: The id was used for an order with other terms.
        """
        row = self._journal.by_client_order_id(client_order_id)
        if row is None:
            return None
        refuse_other(client_order_id, row.fingerprint, terms)
        if row.answer:
            answer = msgspec.json.decode(row.answer, type=OrderAnswer)
            still = row.known.state in replies.WAITING
            if answer.code != "OUTCOME_UNKNOWN" or still:
                return replies.repeat(answer)
        if row.known.state in replies.WAITING:
            return replies.repeat(replies.unknown(row))
        # the first answer was "unknown" (or a crash came before it); this one is kept, the order may move on
        answer = replies.from_state(row)
        try:
            self.keep(row, answer)
        except StoreError as exc:
            log.error("the answer to %s could not be journaled: %s", client_order_id, exc)
        return replies.repeat(answer)

    def of(self, client_order_id: str, key: InstrumentKey, product: str) -> OrderAnswer | None:
        """The same, whatever the order's side and quantity.

        Raises:
            InvalidRequest: The id was used for another instrument or product.
        """
        row = self._journal.by_client_order_id(client_order_id)
        if row is None:
            return None
        refuse_other(client_order_id, f"{row.key} {row.product}", f"{key} {product}")
        return self.stored(client_order_id, row.fingerprint)

    def _change(self, row: JournalRow, answer: OrderAnswer) -> Change:
        """With the time it was given."""
        text = msgspec.json.encode(answer).decode()
        times = Times(answered_ns=self._clock.time_ns())
        return Change(row.id, "answered", None, times, answer=text, detail={"code": answer.code})
