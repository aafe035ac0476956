"""The exchange's words and ours. Pure."""

from __future__ import annotations

from decimal import Decimal

from brokers.errors import BrokerError, NotFound, OrderRejected
from brokers.model import (
    Action,
    Funds,
    Holding,
    Instrument,
    InstrumentKey,
    Order,
    OrderStatus,
    Position,
    PriceType,
    Trade,
)
from brokers.sim.exchange.types import (
    PAISA,
    Kind,
    Listing,
    Refusal,
    RefusalCode,
    SimFunds,
    SimHolding,
    SimOrder,
    SimPosition,
    SimTrade,
    Status,
)
from gateway.sandbox.prices import DECIMALS

STATUSES = {
    Status.TRANSIT: OrderStatus.OPEN,
    Status.OPEN: OrderStatus.OPEN,
    Status.PARTIAL: OrderStatus.OPEN,
    Status.TRIGGER_PENDING: OrderStatus.TRIGGER_PENDING,
    Status.FILLED: OrderStatus.COMPLETE,
    Status.CANCELLED: OrderStatus.CANCELLED,
    Status.REJECTED: OrderStatus.REJECTED,
    Status.EXPIRED: OrderStatus.CANCELLED,
}
KINDS = {
    "EQ": Kind.EQUITY,
    "INDEX": Kind.INDEX,
    "FUT": Kind.FUTURE,
    "CE": Kind.CALL,
    "PE": Kind.PUT,
}
CODES = {
    RefusalCode.MARGIN: "INSUFFICIENT_MARGIN",
    RefusalCode.CLOSED: "MARKET_CLOSED",
    RefusalCode.QUANTITY: "INVALID_QUANTITY",
    RefusalCode.FINAL: "ORDER_NOT_OPEN",
    RefusalCode.NOT_TRADABLE: "NO_PRICE",
}


def key_of(listing: Listing) -> InstrumentKey:
    return InstrumentKey(listing.exchange, listing.symbol)


def listing_of(instrument: Instrument) -> Listing:
    key, unit = instrument.key, 10**DECIMALS
    return Listing(
        exchange=str(key.exchange),
        symbol=key.symbol,
        token=0,
        kind=KINDS.get(instrument.instrument_type, Kind.EQUITY),
        name=instrument.name,
        root=instrument.name,
        isin="",
        lot_size=instrument.lot_size,
        tick_paise=int(instrument.tick_size * unit),
        freeze_qty=instrument.freeze_qty,
        base_paise=0,
        expiry=instrument.expiry,
        strike_paise=int(instrument.strike * unit),
        decimals=DECIMALS,
    )


def order_of(order: SimOrder) -> Order:
    new = order.new
    return Order(
        order_id=order.order_id,
        key=key_of(new.listing),
        action=Action(new.side.value),
        quantity=new.quantity,
        price_type=PriceType(new.type.value),
        product=new.product,
        price=new.price,
        trigger_price=new.trigger,
        status=STATUSES[order.status],
        filled_quantity=order.filled,
        average_price=order.average,
        tag=order.tag,
        raw_status=order.status.value,
        rejection_reason=order.reason,
        placed_at=order.created_at,
        updated_at=order.updated_at,
    )


def trade_of(trade: SimTrade) -> Trade:
    return Trade(
        trade_id=trade.trade_id,
        order_id=trade.order_id,
        key=key_of(trade.listing),
        action=Action(trade.side.value),
        product=trade.product,
        quantity=trade.quantity,
        price=trade.price,
        traded_at=trade.at,
    )


def position_of(position: SimPosition, mark: int | None) -> Position:
    """``mark``: last known price in units; without one there is no profit to tell, unless it is closed."""
    listing, net = position.listing, position.net
    ltp = None if mark is None else listing.rupees(mark)
    realized = position.realized
    open_profit = None
    if ltp is not None or not net:
        open_profit = position.unrealized(ltp or Decimal(0)).quantize(PAISA) if net else Decimal(0)
    return Position(
        key=key_of(listing),
        product=position.product,
        quantity=net,
        average_price=position.average.quantize(Decimal("0.0001")),
        ltp=ltp,
        pnl=None if open_profit is None else realized + open_profit,
        realized_pnl=realized,
        unrealized_pnl=open_profit,
        buy_quantity=position.bought[0],
        sell_quantity=position.sold[0],
    )


def holding_of(held: SimHolding, mark: int | None) -> Holding:
    ltp = None if mark is None else held.listing.rupees(mark)
    pnl = None if ltp is None else (ltp - held.average) * held.quantity
    percent = None
    if ltp is not None and held.average:
        percent = ((ltp - held.average) / held.average * 100).quantize(PAISA)
    return Holding(key_of(held.listing), held.quantity, held.average, ltp, pnl, percent)


def funds_of(funds: SimFunds) -> Funds:
    return Funds(
        available_cash=funds.available,
        collateral=funds.collateral,
        m2m_realized=funds.realized,
        m2m_unrealized=funds.unrealized,
        utilised_debits=funds.utilised,
        available_margin=funds.available,
    )


def error_of(refusal: Refusal) -> BrokerError:
    if refusal.code is RefusalCode.NOT_FOUND:
        return NotFound(refusal.text)
    return OrderRejected(refusal.text, code=CODES.get(refusal.code))
