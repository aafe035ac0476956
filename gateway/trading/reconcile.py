"""Evidence into steps. Pure: the journal's rows and what the broker showed in, what to do out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from brokers.model import Action, InstrumentKey, Order, OrderChange, OrderStatus, Position, Trade
from gateway.store.journal import Change, JournalRow
from gateway.trading import machine
from gateway.trading.tags import TAG_LENGTH

Holder = tuple[InstrumentKey, str]


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """What one reading of the order book teaches.

    Attributes:
        changes: Steps of journal rows.
        foreign: Orders the journal does not have: import and mark them.
        missing: Working orders of today that the book does not show (drift, for a person).
        terms: Rows whose working order has other terms at the broker, and these: a modification that arrived
            after its outcome was given up, or one made elsewhere.
    """

    changes: tuple[Change, ...]
    foreign: tuple[Order, ...]
    missing: tuple[str, ...]
    terms: tuple[tuple[int, OrderChange], ...] = ()


def match_row(row: JournalRow, book: Iterable[Order]) -> Order | None:
    """The broker's order of a journal row: by order id, else by our tag (a modify may append to it)."""
    for order in book:
        if row.known.order_id == order.order_id or is_ours(order, row):
            return order
    return None


def is_ours(order: Order, row: JournalRow) -> bool:
    """True when the order carries the row's tag, and nothing says it is another one."""
    return (
        bool(row.tag)
        and order.tag.startswith(row.tag)
        and order.action is row.action
        and row.known.order_id in ("", order.order_id)
    )


def plan_orders(
    rows: Sequence[JournalRow], book: Sequence[Order], *, day_start_ns: int, read_ns: int, settle_ns: int
) -> OrderPlan:
    """Compare the journal with one healthy reading of the book.

    Args:
        rows: Rows of today and every unfinished one.
        day_start_ns: Wall time at which the broker's trading day began (IST midnight).
        read_ns: Wall time at which the reading began.
        settle_ns: A change or cancel of unknown outcome counts as settled by a reading this much later.
    """
    by_id = {row.known.order_id: row for row in rows if row.known.order_id}
    by_tag = {row.tag: row for row in rows if row.tag}
    changes: list[Change] = []
    foreign: list[Order] = []
    terms: list[tuple[int, OrderChange]] = []
    seen: set[int] = set()
    for order in book:
        row = by_id.get(order.order_id)
        if row is None:
            tagged = by_tag.get(order.tag[:TAG_LENGTH])
            row = tagged if tagged is not None and is_ours(order, tagged) and tagged.id not in seen else None
        if row is None:
            foreign.append(order)
            continue
        seen.add(row.id)
        changes += _changes(row, order, read_ns=read_ns, settle_ns=settle_ns)
        if has_other_terms(row, order):
            terms.append((row.id, replace(terms_of(order), disclosed_quantity=row.disclosed_quantity)))
    ended, missing = _absent([r for r in rows if r.id not in seen], day_start_ns, read_ns - settle_ns)
    return OrderPlan(tuple(changes + ended), tuple(foreign), tuple(missing), tuple(terms))


def _changes(row: JournalRow, order: Order, *, read_ns: int, settle_ns: int) -> list[Change]:
    event = machine.BrokerSays(order)
    after = machine.step(row.known, event)
    settled = bool(row.pending) and (after.state.is_final or read_ns - row.pending_ns >= settle_ns)
    if after == row.known and not settled:
        return []
    detail = {"raw_status": order.raw_status}
    terms = None
    if settled:
        detail["settled"] = row.pending
        terms = None if after.state.is_final else terms_of(order)
    pending = "" if settled else None
    return [Change(row.id, "reconciled", event, pending=pending, terms=terms, detail=detail, quiet=True)]


def terms_of(order: Order) -> OrderChange:
    """The terms the broker shows, as those of a modification it took."""
    return OrderChange(order.order_id, order.quantity, order.price_type, order.price, order.trigger_price)


def has_other_terms(row: JournalRow, order: Order) -> bool:
    """The broker shows a working order with other prices than the journal, and no change of it is open.

    (The quantity is taken over with the state.)
    """
    resting = order.status in (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING) and not order.in_transit
    if not resting or row.pending or row.known.state not in machine.WORKING:
        return False
    shown = order.price_type, order.price, order.trigger_price
    return shown != (row.price_type, row.price, row.trigger_price)


def _absent(
    rows: Sequence[JournalRow], day_start_ns: int, settled_before_ns: int
) -> tuple[list[Change], list[str]]:
    ended: list[Change] = []
    missing: list[str] = []
    for row in rows:
        if row.known.state not in machine.WORKING:
            continue
        if row.created_ns < day_start_ns:
            reason = (
                "its day ended: not in the broker's book any more; fills after the last look were not seen"
            )
            ended.append(Change(row.id, "reconciled", machine.DayEnded(reason)))
        elif row.created_ns < settled_before_ns:
            missing.append(f"order {row.known.order_id} ({row.key}) is not in the broker's book")
    return ended, missing


def with_averages(orders: Sequence[Order], trades: Sequence[Trade]) -> list[Order]:
    """A book often shows a fill before its average price; the trades know it."""
    value: dict[str, Decimal] = {}
    count: dict[str, int] = {}
    for trade in trades:
        value[trade.order_id] = value.get(trade.order_id, Decimal(0)) + trade.price * trade.quantity
        count[trade.order_id] = count.get(trade.order_id, 0) + trade.quantity
    return [
        replace(order, average_price=value[order.order_id] / count[order.order_id])
        if lacks_average(order) and count.get(order.order_id)
        else order
        for order in orders
    ]


def lacks_average(order: Order) -> bool:
    filled = order.filled_quantity > 0 or order.status is OrderStatus.COMPLETE
    return filled and order.average_price <= 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against one order of unknown outcome. Times are monotonic seconds.

    Attributes:
        lost_at: When its answer was lost (or when this process began to look).
        absent: Moments at which healthy readings that count began and did not show it.
    """

    lost_at: float
    absent: tuple[float, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class SettleRules:
    """When "not found" counts (O2).

    Attributes:
        horizon_s: A reading counts only this long after the answer was lost: until then the write could still
            be on its way through the broker.
        gap_s: Least distance of two readings that count.
        reads: How many must not show it.
    """

    horizon_s: float = 10.0
    gap_s: float = 2.0
    reads: int = 3


def weigh(
    evidence: Evidence,
    row: JournalRow,
    found: Sequence[Order],
    read_at: float,
    rules: SettleRules,
    *,
    today: bool,
) -> tuple[Evidence, machine.Event | None]:
    """Take one healthy reading into account.

    Args:
        found: Orders carrying the tag.
        read_at: When the reading began.
        today: The order was sent on the broker's present day; another day's book proves nothing.

    Returns:
        The evidence now, and the event that ends ``unknown``, or None.
    """
    ours = [order for order in found if is_ours(order, row)]
    if ours:
        # the earliest is the one our write made, should a broker ever show two
        first = min(ours, key=lambda o: (o.placed_at is None, o.placed_at, o.order_id))
        return evidence, machine.BrokerSays(first)
    early = read_at < evidence.lost_at + rules.horizon_s
    close = bool(evidence.absent) and read_at - evidence.absent[-1] < rules.gap_s
    if early or close or not today:
        return evidence, None
    evidence = replace(evidence, absent=(*evidence.absent, read_at))
    if len(evidence.absent) < rules.reads:
        return evidence, None
    return evidence, machine.NeverReached("never reached the broker: not in its book in three readings")


def fills(rows: Iterable[JournalRow]) -> dict[Holder, int]:
    """Signed quantity executed by (instrument, product)."""
    total: dict[Holder, int] = {}
    for row in rows:
        if row.known.filled:
            sign = 1 if row.action is Action.BUY else -1
            holder = (row.key, row.product)
            total[holder] = total.get(holder, 0) + sign * row.known.filled
    return total


def outstanding(rows: Iterable[JournalRow]) -> dict[Holder, int]:
    """Signed quantity that unfinished orders may still trade, by (instrument, product)."""
    total: dict[Holder, int] = {}
    for row in rows:
        sign = 1 if row.action is Action.BUY else -1
        holder = (row.key, row.product)
        total[holder] = total.get(holder, 0) + sign * (row.known.quantity - row.known.filled)
    return total


def offsets(positions: Iterable[Position], executed: Mapping[Holder, int]) -> dict[Holder, int]:
    """Position minus the fills we know: what was carried in. It must not change during a day."""
    held = {(p.key, p.product): p.quantity for p in positions}
    return {
        holder: held.get(holder, 0) - executed.get(holder, 0)
        for holder in held.keys() | executed.keys()
        if held.get(holder, 0) != executed.get(holder, 0)
    }


def drift(
    baseline: Mapping[Holder, int], before: Mapping[Holder, int], now: Mapping[Holder, int]
) -> list[str]:
    """Positions that moved without an order we know.

    Seen twice in a row, so that a fill between two readings is not taken for one.
    """
    lines = []
    for holder in sorted(baseline.keys() | now.keys()):
        was, is_now = baseline.get(holder, 0), now.get(holder, 0)
        if is_now != was and before.get(holder, 0) == is_now:
            lines.append(f"{holder[0]} {holder[1]}: {is_now - was:+d} without an order known here")
    return lines
