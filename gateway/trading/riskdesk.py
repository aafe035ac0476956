"""Every limit the operator set, checked before an order is journaled. Without limits it costs nothing.

What only reduces a position passes: an order that would be refused is let through when the position, read
from the broker, proves that it can do nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.contract import MarginLeg
from brokers.errors import AlgoError, LoginRequired, RiskLimit
from brokers.model import Instrument, InstrumentKey, OrderChange, OrderRequest, Product
from gateway.settings.risk import NO_RULES, RiskRules
from gateway.store.journal import JournalRow
from gateway.trading import risk
from gateway.trading.parts import DeskParts
from gateway.trading.reader import Reader, day_start_ns
from gateway.trading.reconcile import Holder
from gateway.trading.risklimits import RiskBook

log = logging.getLogger(__name__)
MINUTE_S = 60.0
MOST_STRATEGIES = 1000


@dataclass(slots=True)
class Ticket:
    """Leave to journal one order. Until it is journaled or dropped it counts as one."""

    _risk: Risk | None = None
    _stamp: tuple[deque[float], float] | None = None
    _claim: tuple[Holder, int] | None = None
    _open: bool = field(default=True)

    def journal(self, add: Callable[[], int]) -> int:
        """``add`` the row; from then on the row counts instead. Nobody counts between the two."""
        if self._risk is None:
            return add()
        return self._risk.journaled(self, add)


FREE = Ticket()


class PerMinute:
    """How often each name came in the last minute. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def stamps(self, name: str, now: float) -> deque[float]:
        """The moments of one name, the older ones forgotten."""
        if name not in self._seen and len(self._seen) >= MOST_STRATEGIES:
            self._seen = {n: s for n, s in self._seen.items() if s and s[-1] > now - MINUTE_S}
        stamps = self._seen.setdefault(name, deque())
        while stamps and stamps[0] <= now - MINUTE_S:
            stamps.popleft()
        return stamps

    def wait_s(self, name: str, now: float, most: int) -> float | None:
        """None when one more fits below ``most``, else the seconds until one does."""
        stamps = self.stamps(name, now)
        return None if len(stamps) < most else stamps[-most] + MINUTE_S - now


class Risk:
    """The limits of one desk. Thread-safe.

    Args:
        standing: An objection that holds for now against every entry (day loss, square-off), or None.
    """

    def __init__(
        self,
        parts: DeskParts,
        reader: Reader,
        standing: Callable[[OrderRequest], RiskLimit | None],
    ) -> None:
        self._parts = parts
        self._reader = reader
        self._standing = standing
        self._lock = threading.Lock()
        self._verify = parts.tasks.lock()
        self._pending = 0
        self._claims: dict[Holder, int] = {}
        self._minute = PerMinute()
        self._primed = False
        parts.risk.listen(self._changed)

    @property
    def _rules(self) -> RiskRules:
        return self._parts.risk.now

    def prime(self) -> None:
        """Orders of the last minute before a restart count too."""
        with self._lock:
            if self._rules.orders_per_minute is not None:
                self._prime()

    def _changed(self) -> None:
        """Orders of the last minute count for a limit that is new, too."""
        with self._lock:
            self._primed = False

    def _prime(self) -> None:
        """The caller holds the lock."""
        if self._primed:
            return
        self._primed = True
        self._minute = PerMinute()
        wall, now = self._parts.clock.time_ns(), self._parts.clock.monotonic()
        for row in self._parts.journal.since(wall - int(MINUTE_S * 1e9)):
            age_s = (wall - row.created_ns) / 1e9
            if age_s < MINUTE_S:
                self._minute.stamps(row.strategy, now).append(now - age_s)

    @contextmanager
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
    ) -> Iterator[Ticket]:
        """Let one order pass, and count it until it is journaled or the block is left.

        Args:
            wait_s: How long the broker may be asked about price and margin.
            objection: Stands against it already; an exit passes that too.

        Raises:
            RiskLimit: Which limit stands against it; or the ``objection``.
            LoginRequired: The margin is to be checked and there is no session.
        """
        if is_exit or (objection is None and self._rules == NO_RULES):
            yield FREE
            return
        ticket = self._ticket(request, instrument, strategy, ltp, wait_s, objection)
        try:
            yield ticket
        finally:
            self._drop(ticket)

    def check_change(
        self, row: JournalRow, change: OrderChange, ltp: float | None, objection: AlgoError | None = None
    ) -> None:
        """Refuse a modification that makes an order larger than a limit allows.

        Args:
            objection: Stands against it already; what only reduces a position passes that too.

        Raises:
            RiskLimit: Which limit stands against it; or the ``objection``.
        """
        rules = self._rules
        off = rules == NO_RULES and objection is None
        if off or row.is_exit or row.product not in tuple(Product):
            return
        before = _request(row, row.known.quantity, row.price, row.trigger_price)
        after = _request(row, change.quantity, change.price, change.trigger_price)
        grows = after.quantity > before.quantity
        dearer = (risk.own_price(after) or Decimal(0)) > (risk.own_price(before) or Decimal(0))
        if not grows and not dearer:
            return
        price = self._price(after, ltp) if rules.max_order_value is not None else None
        objection = objection or risk.of_value(after, price, rules)
        if grows:
            objection = risk.of_shape(after, rules) or objection or self._standing(after)
        if objection is not None and not self._only_reduces(after, ticket=None, without=row.id):
            raise objection

    def journaled(self, ticket: Ticket, add: Callable[[], int]) -> int:
        """For ``Ticket`` only."""
        with self._lock:
            journal_id = add()
            self._release(ticket)
            # it left: it stays among those of the minute
            ticket._stamp = None
            return journal_id

    def _ticket(
        self,
        request: OrderRequest,
        instrument: Instrument,
        strategy: str,
        ltp: float | None,
        wait_s: float,
        objection: AlgoError | None,
    ) -> Ticket:
        rules = self._rules
        objection = objection or risk.of_shape(request, rules) or self._standing(request)
        if objection is None and rules.max_order_value is not None:
            objection = risk.of_value(request, self._price(request, ltp), rules)
        if objection is None and rules.check_margin:
            objection = self._margin(request, instrument, ltp, wait_s)
        ticket = Ticket(self)
        with self._lock:
            objection = objection or self._counted(strategy)
            if objection is None:
                self._count(ticket, strategy)
        if objection is None:
            return ticket
        if not self._only_reduces(request, ticket=ticket):
            raise objection
        with self._lock:
            self._count(ticket, strategy)
        return ticket

    def _counted(self, strategy: str) -> RiskLimit | None:
        """Limits on how many; the caller holds the lock."""
        rules = self._rules
        if rules.orders_per_minute is not None:
            self._prime()
            now = self._parts.clock.monotonic()
            wait_s = self._minute.wait_s(strategy, now, rules.orders_per_minute)
            if wait_s is not None:
                most = str(rules.orders_per_minute)
                return RiskLimit(
                    f"refused by RISK_ORDERS_PER_MINUTE: strategy '{strategy}' sent {most} orders within a "
                    "minute; nothing was sent",
                    limit="RISK_ORDERS_PER_MINUTE",
                    present=most,
                    allowed=most,
                    retry_after_s=wait_s,
                )
        if rules.max_open_orders is None:
            return None
        start_ns = day_start_ns(self._parts.clock)
        rows = sum(row.created_ns >= start_ns for row in self._parts.journal.unfinished())
        return risk.of_open_orders(rows + self._pending, rules)

    def _count(self, ticket: Ticket, strategy: str) -> None:
        self._pending += 1
        if self._rules.orders_per_minute is not None:
            self._prime()
            now = self._parts.clock.monotonic()
            stamps = self._minute.stamps(strategy, now)
            stamps.append(now)
            ticket._stamp = (stamps, now)

    def _release(self, ticket: Ticket) -> None:
        """The caller holds the lock."""
        if not ticket._open:
            return
        ticket._open = False
        self._pending -= 1
        if ticket._claim is not None:
            holder, quantity = ticket._claim
            self._claims[holder] -= quantity

    def _drop(self, ticket: Ticket) -> None:
        """It was not journaled: as if it had never been."""
        with self._lock:
            if ticket._open and ticket._stamp is not None:
                stamps, at = ticket._stamp
                if at in stamps:
                    stamps.remove(at)
            self._release(ticket)

    def _only_reduces(self, request: OrderRequest, *, ticket: Ticket | None, without: int = 0) -> bool:
        """Whether the position proves that the order is an exit; one that cannot be read proves nothing.

        What other orders on its side may still trade is taken off, as it was before the position was read:
        what they trade meanwhile is either in the position or in that sum.
        """
        holder = (request.key, str(request.product))
        with self._verify:
            with self._lock:
                start_ns = day_start_ns(self._parts.clock)
                rows = [
                    row
                    for row in self._parts.journal.unfinished()
                    if row.created_ns >= start_ns and (row.key, row.product) == holder and row.id != without
                ]
                others = risk.same_side(request, rows) + self._claims.get(holder, 0)
            try:
                positions = self._reader.positions()
            except AlgoError as exc:
                log.warning("whether an order on %s only reduces cannot be told: %s", request.key, exc)
                return False
            held = sum(p.quantity for p in positions if (p.key, p.product) == holder)
            if not risk.reduces(request, held, others):
                return False
            if ticket is not None:
                with self._lock:
                    self._claims[holder] = self._claims.get(holder, 0) + request.quantity
                ticket._claim = (holder, request.quantity)
            return True

    def _price(self, request: OrderRequest, ltp: float | None) -> Decimal | None:
        own = risk.own_price(request)
        if own is not None:
            return own
        price = ltp if ltp else self._parts.price_now(request.key)
        return Decimal(str(price)) if price else None

    def _margin(
        self, request: OrderRequest, instrument: Instrument, ltp: float | None, wait_s: float
    ) -> RiskLimit | None:
        """The broker's own figures, asked within the order's deadline."""

        def ask() -> tuple[Decimal, Decimal]:
            required = self._reader.margin([MarginLeg(request, instrument, self._price(request, ltp))])
            funds = self._reader.funds()
            free = funds.available_margin
            return required.total, funds.available_cash + funds.collateral if free is None else free

        tasks = self._parts.tasks
        try:
            required, available = tasks.result(tasks.start("margin", ask), max(0.0, wait_s))
        except LoginRequired:
            raise
        except (AlgoError, TimeoutError) as exc:
            why = str(exc) or "no answer in time"
            if self._rules.margin_unknown == "allow":
                log.warning("the margin of an order on %s was not checked: %s", request.key, why)
                return None
            return RiskLimit(
                f"the margin of this order could not be checked, so nothing was sent: {why}",
                limit="RISK_CHECK_MARGIN",
                present="unknown",
                allowed="",
                code="MARGIN_UNKNOWN",
            )
        return risk.of_margin(required, available)


class DataMeter:
    """Market-data requests of each strategy in the last minute. Thread-safe."""

    def __init__(self, book: RiskBook, monotonic: Callable[[], float]) -> None:
        self._book = book
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._minute = PerMinute()

    def hit(self, strategy: str) -> None:
        """Count one. Raises ``RiskLimit``, which counts nothing."""
        most = self._book.now.data_per_minute
        if most is None:
            return
        now = self._monotonic()
        with self._lock:
            wait_s = self._minute.wait_s(strategy, now, most)
            if wait_s is None:
                self._minute.stamps(strategy, now).append(now)
                return
        raise RiskLimit(
            f"refused by RISK_DATA_PER_MINUTE: {most} data requests within a minute; nothing was asked",
            limit="RISK_DATA_PER_MINUTE",
            present=str(most),
            allowed=str(most),
            retry_after_s=wait_s,
        )


def _request(row: JournalRow, quantity: int, price: Decimal, trigger: Decimal) -> OrderRequest:
    key = InstrumentKey(row.key.exchange, row.key.symbol)
    return OrderRequest(key, row.action, quantity, row.price_type, Product(row.product), price, trigger)
