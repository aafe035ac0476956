"""OrderDesk: the only way an order leaves this gateway (promises O1-O9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.contract import Capabilities, Rest
from brokers.model import (
    Funds,
    Holding,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    OrderUpdate,
    Position,
    Trade,
)
from gateway.settings import TradingRules
from gateway.store.instruments import InstrumentStore
from gateway.store.journal import Journal
from gateway.trading.answers import CancelReport, CloseReport, DeskStatus, OrderAnswer
from gateway.trading.limiter import Limiter

__all__ = ["CancelReport", "CloseReport", "DeskParts", "DeskStatus", "OrderAnswer", "OrderDesk"]


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk is built from, by the composition root.

    Attributes:
        last_price: Last known price of an instrument for price protection and trigger checks; must not block.
        on_login_required: Called (from any thread, must not block) when the broker refused the session.
    """

    rest: Rest
    instruments: InstrumentStore
    journal: Journal
    limiter: Limiter
    calendar: Calendar
    clock: Clock
    rules: TradingRules
    capabilities: Capabilities
    last_price: Callable[[InstrumentKey], float | None] = lambda key: None  # noqa: ARG005
    on_login_required: Callable[[], None] = lambda: None


class OrderDesk:
    """Places, changes and cancels orders; keeps the journal true to the broker.

    Writes *raise* while nothing has been journaled: ``InvalidRequest`` (checks), ``RateLimited``,
    ``NotReady``, ``EntriesBlocked``, ``StoreError``. Once journaled they *return* an ``OrderAnswer`` whose
    ``code`` is empty only on success. Reads raise the broker's errors. Thread-safe.
    """

    def __init__(self, parts: DeskParts) -> None: ...

    def start(self) -> None:
        """Settle what the last run left open and start the reconciler; returns at once."""

    def stop(self, timeout_s: float = 2.0) -> None: ...

    def place(
        self,
        request: OrderRequest,
        *,
        strategy: str = "",
        client_order_id: str | None = None,
        received_ns: int,
        is_exit: bool = False,
    ) -> OrderAnswer:
        """Send one order, once.

        Args:
            client_order_id: A repeat (also after a restart, also while the first is in flight) returns the
                first answer and sends nothing.
            received_ns: Wall nanoseconds at which the request arrived.
            is_exit: The order only reduces a position: it may use the reserved slots and passes a panic block.
        """
        raise NotImplementedError

    def modify(self, change: OrderChange, *, strategy: str = "", received_ns: int) -> OrderAnswer:
        raise NotImplementedError

    def cancel(self, order_id: str, *, strategy: str = "", received_ns: int) -> OrderAnswer:
        raise NotImplementedError

    def cancel_all(self, strategy: str = "") -> CancelReport:
        """Cancel every working order of the account."""
        raise NotImplementedError

    def close_all(self, strategy: str = "") -> CloseReport:
        """One opposite MARKET order (sliced by freeze quantity) for every open position."""
        raise NotImplementedError

    def block_entries(self, reason: str) -> None:
        """Refuse new entries from now on, also after a restart (``algo panic``)."""

    def allow_entries(self) -> None: ...

    def order(self, order_id: str) -> Order | None:
        """One order by the broker's id or ``J<journal_id>``; None when neither broker nor journal has it."""
        raise NotImplementedError

    def orders(self) -> list[Order]:
        """The broker's book plus the journal's unknown ones (order id ``J<journal_id>``, status unknown)."""
        raise NotImplementedError

    def trades(self) -> list[Trade]:
        raise NotImplementedError

    def positions(self) -> list[Position]:
        raise NotImplementedError

    def holdings(self) -> list[Holding]:
        raise NotImplementedError

    def funds(self) -> Funds:
        raise NotImplementedError

    def on_update(self, update: OrderUpdate) -> None:
        """A pushed order update from the feed; idempotent, any order of arrival."""

    def strategy_of(self, order_id: str) -> str:
        """The strategy that placed an order, empty for foreign ones."""
        raise NotImplementedError

    def status(self) -> DeskStatus:
        raise NotImplementedError
