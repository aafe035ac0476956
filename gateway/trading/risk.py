"""The operator's limits, as rules. Pure: an order and what is known in, the objection or nothing out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from brokers.calendar import Calendar
from brokers.clock import IST
from brokers.errors import RiskLimit
from brokers.model import InstrumentKey, OrderRequest, Position, PriceType
from gateway.settings.risk import RiskRules, SquareOff
from gateway.store.journal import JournalRow


def of_shape(request: OrderRequest, rules: RiskRules) -> RiskLimit | None:
    """Exchange, product and quantity."""
    if rules.exchanges and request.key.exchange not in rules.exchanges:
        return _no("RISK_EXCHANGES", str(request.key.exchange), ",".join(sorted(rules.exchanges)))
    if rules.products and str(request.product) not in rules.products:
        return _no("RISK_PRODUCTS", str(request.product), ",".join(sorted(rules.products)))
    if rules.max_quantity is not None and request.quantity > rules.max_quantity:
        return _no("RISK_MAX_ORDER_QUANTITY", str(request.quantity), str(rules.max_quantity))
    return None


def of_value(request: OrderRequest, price: Decimal | None, rules: RiskRules) -> RiskLimit | None:
    """What the order is worth; ``price`` None: nobody knows, and then it is not let through."""
    if rules.max_order_value is None:
        return None
    if price is None:
        return RiskLimit(
            f"the value of this order is not known: there is no price for {request.key}; give a LIMIT price. "
            "Nothing was sent",
            limit="RISK_MAX_ORDER_VALUE",
            present="unknown",
            allowed=f"{rules.max_order_value:f}",
        )
    value = price * request.quantity
    if value > rules.max_order_value:
        return _no("RISK_MAX_ORDER_VALUE", f"{value:.2f}", f"{rules.max_order_value:f}")
    return None


def own_price(request: OrderRequest) -> Decimal | None:
    """The price an order names itself; None for one that takes the market's."""
    if request.price_type in (PriceType.LIMIT, PriceType.SL):
        return request.price
    return request.trigger_price if request.price_type is PriceType.SL_M else None


def of_open_orders(count: int, rules: RiskRules) -> RiskLimit | None:
    """``count``: orders that work or are on their way, this one not among them."""
    if rules.max_open_orders is None or count < rules.max_open_orders:
        return None
    return _no("RISK_MAX_OPEN_ORDERS", str(count), str(rules.max_open_orders))


def of_margin(required: Decimal, available: Decimal) -> RiskLimit | None:
    if required <= available:
        return None
    return RiskLimit(
        f"the order needs a margin of {required:.2f}, {available:.2f} is available; nothing was sent",
        limit="RISK_CHECK_MARGIN",
        present=f"{required:.2f}",
        allowed=f"{available:.2f}",
        code="INSUFFICIENT_MARGIN",
    )


def reduces(request: OrderRequest, held: int, same_side: int) -> bool:
    """True when the order can only make a position smaller, whatever the others do.

    Args:
        held: Signed quantity of the position.
        same_side: What other orders on this order's side may still trade, or may have traded unseen.
    """
    signed = request.quantity if request.action == "BUY" else -request.quantity
    return held * signed < 0 and request.quantity + same_side <= abs(held)


def same_side(request: OrderRequest, rows: Iterable[JournalRow]) -> int:
    """Quantity that rows on the order's side have not traded yet."""
    return sum(row.known.quantity - row.known.filled for row in rows if row.action is request.action)


@dataclass(frozen=True, slots=True)
class DayResult:
    """Profit of a day in rupees; ``unpriced`` are open positions nobody has a price for."""

    realised: Decimal
    unrealised: Decimal
    unpriced: tuple[InstrumentKey, ...]

    @property
    def loss(self) -> Decimal:
        return -(self.realised + self.unrealised)


def day_result(
    positions: Iterable[Position], last_price: Callable[[InstrumentKey], float | None]
) -> DayResult:
    """Ticks where there are any, else the broker's own figure."""
    realised = unrealised = Decimal(0)
    unpriced = []
    for one in positions:
        realised += one.realized_pnl or Decimal(0)
        if not one.quantity:
            if one.realized_pnl is None:
                realised += one.pnl or Decimal(0)
            continue
        ltp = last_price(one.key)
        if ltp is not None and ltp > 0:
            unrealised += (Decimal(str(ltp)) - one.average_price) * one.quantity
        elif one.unrealized_pnl is not None:
            unrealised += one.unrealized_pnl
        elif one.pnl is not None:
            unrealised += one.pnl - (one.realized_pnl or Decimal(0))
        else:
            unpriced.append(one.key)
    return DayResult(realised, unrealised, tuple(unpriced))


def square_off_at(rule: SquareOff, calendar: Calendar, exchange: str, day: date) -> datetime | None:
    """When one exchange's intraday positions are closed on an IST date; None: not on that day."""
    session = calendar.session(exchange, day)
    if session is None:
        return None
    if rule.at is not None:
        at = datetime.combine(day, rule.at, IST)
    else:
        at = datetime.fromtimestamp(session.closes.timestamp() - rule.before_close_m * 60, IST)
    return at if session.opens <= at < session.closes else None


def _no(limit: str, present: str, allowed: str) -> RiskLimit:
    return RiskLimit(
        f"refused by {limit}: {present}, allowed {allowed}; nothing was sent",
        limit=limit,
        present=present,
        allowed=allowed,
    )
