"""What may stand between an order and the broker by the operator's will: panic, and limits."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from brokers.errors import AlgoError, EntriesBlocked, RoleMissing
from brokers.model import Instrument, OrderChange, OrderRequest
from gateway.panicfile import Panic
from gateway.store.journal import JournalRow
from gateway.trading.panic import Canceller
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader
from gateway.trading.riskdesk import Risk, Ticket
from gateway.trading.riskwatch import Watch
from gateway.trading.switch import Switch

if TYPE_CHECKING:
    from gateway.trading.desk import OrderDesk


class Guards:
    """The guards of one desk. Thread-safe."""

    def __init__(self, desk: OrderDesk, parts: DeskParts, reader: Reader) -> None:
        self._parts = parts
        self._switch = Switch(parts.journal, parts)
        self.canceller = Canceller(desk, self._switch, parts)
        self.watch = Watch(desk, parts)
        self._risk = Risk(parts, reader, self.watch.objection)

    def start(self) -> None:
        self._risk.prime()
        self.canceller.start()
        self.watch.start()

    def stop(self, timeout_s: float) -> None:
        self.canceller.stop(timeout_s / 2)
        self.watch.stop(timeout_s / 2)

    def panic(self, reason: str, policy: str = "cancel") -> Panic:
        """Refuse new entries from now on, on every instance of this home, and carry the policy out.

        The refusal holds after a restart too. The policy is carried out in the background; ``canceller``
        tells how far it is.

        Args:
            policy: ``cancel`` open orders, ``block`` alone, or ``close`` every position too.

        Raises:
            StoreError: It could not be written; see the message for what holds.
        """
        try:
            return self._switch.call(reason, policy)
        finally:
            self.canceller.soon()

    def resume(self) -> None:
        """End a panic, on every instance."""
        self._switch.resume()
        self.canceller.soon()

    def panicked(self) -> Panic | None:
        """The last word on panic, resumed or not; None when there never was one."""
        return self._switch.state()

    def blocked(self) -> str:
        """Why entries are blocked now; empty when they are not. Costs a ``stat``."""
        return self._switch.reason()

    def refuse_blocked(self) -> None:
        """Raises ``EntriesBlocked`` while they are."""
        if reason := self._switch.reason():
            raise EntriesBlocked(f"new entries are blocked: {reason}")

    def refuse_role(self) -> None:
        """Raises ``RoleMissing`` where orders do not leave; exits are not asked."""
        if not self._parts.executes:
            raise RoleMissing(
                "this instance has not the role execute: it sends nothing but exits and cancels; "
                "see ROLES in its env file"
            )

    def vet(self, strategy: str, lease: str) -> None:
        """Raises ``RoleMissing`` or ``LeaseRefused`` for an entry that is left to the broker to send."""
        self.refuse_role()
        if (objection := self.objection(strategy, lease)) is not None:
            raise objection

    def objection(self, strategy: str, lease: str | None) -> AlgoError | None:
        """Why an entry of this strategy may not leave now. ``lease`` None: it was asked for earlier."""
        return None if lease is None else self._parts.objection(strategy, lease)

    def check_change(self, row: JournalRow, change: OrderChange, lease: str | None) -> None:
        """Raises ``EntriesBlocked``, ``RiskLimit``, or, where it makes an entry larger, ``LeaseRefused``.

        What is added is as new as another entry of that strategy.
        """
        if not row.is_exit:
            self.refuse_role()
            self.refuse_blocked()
            grows = change.quantity > row.known.quantity
            objection = self.objection(row.strategy, lease) if grows else None
            self._risk.check_change(row, change, self._parts.last_price(row.key), objection)

    def admit(
        self,
        request: OrderRequest,
        instrument: Instrument,
        *,
        strategy: str,
        ltp: float | None,
        is_exit: bool,
        wait_s: float,
        objection: AlgoError | None = None,
    ) -> AbstractContextManager[Ticket]:
        """As ``Risk.admit``."""
        return self._risk.admit(
            request,
            instrument,
            strategy=strategy,
            ltp=ltp,
            is_exit=is_exit,
            wait_s=wait_s,
            objection=objection,
        )
