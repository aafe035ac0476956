"""What GTT orders are built from, and what callers get. Values and protocols only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.model import Gtt, GttLeg, GttRequest, Instrument, InstrumentKey, Order, OrderRequest, Quote
from gateway.store.gtt import GttRow, GttStore
from gateway.trading.answers import OrderAnswer
from gateway.triggers.machine import Keeper


class Desk(Protocol):
    """Where a fired order goes: the order desk, or the sandbox's."""

    def place(
        self,
        request: OrderRequest,
        *,
        strategy: str,
        client_order_id: str | None,
        received_ns: int,
        lease: str | None,
    ) -> OrderAnswer: ...


class Table(Protocol):
    """The instrument table's part in it."""

    def by_key(self, key: InstrumentKey) -> Instrument | None: ...

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]: ...


class Ticks(Protocol):
    """The tick cache's part in it."""

    def want(self, keys: Iterable[InstrumentKey]) -> None: ...

    def listen(self, listener: Callable[[bytes, bytes], None]) -> None: ...


class Family(Protocol):
    """The order desk, as far as it knows whose an order is."""

    def attribute(self, order_id: str, strategy: str, detail: dict[str, str]) -> bool:
        """A foreign order is ours after all; False when there is none of this id."""
        ...

    def foreign_today(self) -> list[Order]: ...


class _NoFamily:
    """Where the broker keeps no GTT orders there are no children."""

    def attribute(self, order_id: str, strategy: str, detail: dict[str, str]) -> bool:
        return False

    def foreign_today(self) -> list[Order]:
        return []


class Purse(Protocol):
    """Money that armed GTT orders block, by trigger id. Thread-safe.

    Attributes:
        lock: Held between a check and its row, and between reading what is armed and ``keep``.
    """

    @property
    def lock(self) -> AbstractContextManager[Any]: ...

    def check(self, trigger_id: str, request: GttRequest, instrument: Instrument) -> None:
        """Raises ``OrderRejected`` (``INSUFFICIENT_MARGIN``); what this id blocks already counts as free."""
        ...

    def add(self, trigger_id: str, request: GttRequest, instrument: Instrument) -> None: ...

    def keep(self, armed: Mapping[str, tuple[GttRequest, Instrument]]) -> None:
        """These are armed now, and no others."""
        ...

    def free(self, trigger_id: str) -> None: ...

    def blocked(self, trigger_id: str) -> Decimal:
        """Rupees one blocks; zero when it is not armed."""
        ...


Quotes = Callable[
    [Sequence[InstrumentKey]], tuple[Mapping[InstrumentKey, Quote], Mapping[InstrumentKey, str]]
]


@dataclass(frozen=True, slots=True)
class GttParts:
    """Handed in by the composition root.

    Attributes:
        title: The broker's name, for answers.
        quotes: Quotes, and why others have none; may ask the broker.
        blocked: Why new entries are blocked, empty when they are not.
        fires_missed: One whose price was there while nobody looked is fired all the same (``GTT_MISSED``).
        announce: Told of what a person should hear of at once; must not block.
        family: The orders of the account, for children of GTT orders the broker keeps.
        purse: What paper GTT orders block; the real ones block nothing before they fire.
    """

    title: str
    store: GttStore
    desk: Desk
    table: Table
    exchanges: frozenset[str]
    calendar: Calendar
    clock: Clock
    ticks: Ticks
    quotes: Quotes
    last_price: Callable[[InstrumentKey], float | None]
    blocked: Callable[[], str] = lambda: ""
    fires_missed: bool = False
    announce: Callable[[GttRow], None] = lambda row: None  # noqa: ARG005
    purse: Purse | None = None
    family: Family = field(default_factory=_NoFamily)


@dataclass(frozen=True, slots=True)
class GttAnswer:
    """The outcome of one write. ``code`` is empty only on success.

    Attributes:
        trigger_id: ``G<id>`` as long as the broker gave none.
        message: On success who keeps it and what that means.
        repeated: The stored answer to an earlier request with the same client_order_id.
    """

    trigger_id: str
    kept_by: Keeper
    state: str
    code: str = ""
    message: str = ""
    broker_code: str = ""
    retry_after_s: float | None = None
    repeated: bool = False

    @property
    def ok(self) -> bool:
        return not self.code


@dataclass(frozen=True, slots=True)
class Shown:
    """One row of the GTT book.

    Times are aware UTC or None; ``margin``: rupees it blocks on paper, None for a real one.
    """

    trigger_id: str
    key: InstrumentKey
    action: str
    quantity: int
    price_type: str
    product: str
    legs: tuple[GttLeg, ...]
    state: str
    kept_by: Keeper
    strategy: str = ""
    order_id: str = ""
    code: str = ""
    reason: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    margin: Decimal | None = None


def shown(row: GttRow, margin: Decimal | None = None) -> Shown:
    known, terms = row.known, row.known.terms
    changed = row.updated_ns != row.created_ns
    return Shown(
        trigger_id=row.shown_id,
        key=terms.key,
        action=terms.action.value,
        quantity=terms.quantity,
        price_type=terms.price_type.value,
        product=str(terms.product),
        legs=terms.legs,
        state=known.state.value,
        kept_by=row.kept_by,
        strategy=row.strategy,
        order_id=known.order_id,
        code=known.code,
        reason=known.reason,
        created_at=utc(row.created_ns),
        updated_at=utc(row.updated_ns) if changed else None,
        expires_at=None if row.expires_ns is None else utc(row.expires_ns),
        margin=margin,
    )


def shown_by_broker(gtt: Gtt) -> Shown:
    """One that was placed elsewhere."""
    return Shown(
        trigger_id=gtt.trigger_id,
        key=gtt.key,
        action=gtt.action.value,
        quantity=gtt.quantity,
        price_type="" if gtt.price_type is None else gtt.price_type.value,
        product=gtt.product,
        legs=gtt.legs,
        state=gtt.state.value,
        kept_by=Keeper.BROKER,
        reason=gtt.reason,
        created_at=gtt.placed_at,
        updated_at=gtt.updated_at,
    )


def utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, UTC)


class Gtts(Protocol):
    """GTT orders of one instance, whoever keeps them. Thread-safe.

    Writes raise while nothing has been journaled (``InvalidRequest``, ``NotFound``, ``RateLimited``,
    ``EntriesBlocked``, ``StoreError``, the errors of a quote); afterwards they return a ``GttAnswer``.
    """

    @property
    def kept_by(self) -> Keeper: ...

    def place(
        self,
        request: GttRequest,
        *,
        strategy: str = "",
        client_order_id: str | None = None,
        expires_ns: int | None = None,
    ) -> GttAnswer: ...

    def modify(self, trigger_id: str, request: GttRequest, grows: Callable[[str], None] = ...) -> GttAnswer:
        """A full replacement of an active one's terms.

        ``grows`` is asked with its strategy when the quantity becomes larger, and raises where that may not
        be.
        """
        ...

    def cancel(self, trigger_id: str) -> GttAnswer: ...

    def call_off(self, trigger_id: str) -> GttAnswer:
        """As ``cancel``, in a panic: of one that ``standing`` has just shown, whoever placed it."""
        ...

    def book(self, *, everything: bool = False) -> list[Shown]:
        """Those that have not ended; ``everything``: the ended ones too, as far as they are known."""
        ...

    def standing(self) -> dict[str, str]:
        """State by trigger id, by the word of whoever keeps them; a panic believes nothing else."""
        ...

    def keys(self) -> set[InstrumentKey]:
        """Instruments whose ticks are needed here."""
        ...

    def on_order(self, order: Order) -> None:
        """An order of the account was heard of; it may be the child of one the broker keeps."""
        ...

    def start(self) -> None: ...

    def stop(self) -> None: ...
