"""What is refused before an order gets an id, and the circuit band of the risk desk. Pure."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from brokers.sim.exchange.types import (
    Kind,
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    Snapshot,
    Type,
    rupees,
)

_STOPS = (Type.STOP_LIMIT, Type.STOP_MARKET)
_PRICED = (Type.LIMIT, Type.STOP_LIMIT)


def check_terms(new: NewOrder, today: date) -> None:
    """Raise ``Refusal`` for terms no market state could make right."""
    _check_listing(new.listing, new.product, today)
    _check_quantity(new)
    _check_prices(new)


def _check_listing(listing: Listing, product: str, today: date) -> None:
    if not listing.tradable:
        raise Refusal(RefusalCode.NOT_TRADABLE, f"{listing.symbol} is an index and cannot be traded")
    if listing.expiry is not None and listing.expiry < today:
        raise Refusal(RefusalCode.NOT_TRADABLE, f"{listing.symbol} has expired")
    allowed = ("CNC", "MIS") if listing.kind is Kind.EQUITY else ("NRML", "MIS")
    if product not in allowed:
        raise Refusal(
            RefusalCode.PRODUCT,
            f"product {product} is not allowed for {listing.symbol}; use {' or '.join(allowed)}",
        )


def _check_quantity(new: NewOrder) -> None:
    listing = new.listing
    if new.quantity <= 0:
        raise Refusal(RefusalCode.QUANTITY, "quantity must be positive")
    if not 0 <= new.disclosed <= new.quantity:
        raise Refusal(RefusalCode.QUANTITY, "disclosed quantity must lie between 0 and the quantity")
    if new.quantity % listing.lot_size:
        raise Refusal(
            RefusalCode.LOT, f"quantity {new.quantity} is not a multiple of lot size {listing.lot_size}"
        )
    if listing.freeze_qty and new.quantity > listing.freeze_qty:
        raise Refusal(
            RefusalCode.FREEZE, f"quantity {new.quantity} is above the freeze quantity {listing.freeze_qty}"
        )


def _check_prices(new: NewOrder) -> None:
    if new.type in _PRICED:
        _on_tick("price", new.price, new.listing)
    if new.type not in _STOPS:
        return
    _on_tick("trigger price", new.trigger, new.listing)
    if new.type is Type.STOP_LIMIT:
        if new.side is Side.BUY and new.trigger > new.price:
            raise Refusal(RefusalCode.TRIGGER, "trigger price of a buy must not be above its limit price")
        if new.side is Side.SELL and new.trigger < new.price:
            raise Refusal(RefusalCode.TRIGGER, "trigger price of a sale must not be below its limit price")


def _on_tick(what: str, price: Decimal, listing: Listing) -> None:
    tick = rupees(listing.tick_paise)
    if price <= 0 or price % tick:
        raise Refusal(RefusalCode.TICK, f"{what} {price} is not a positive multiple of tick size {tick}")


def check_trigger(new: NewOrder, last_paise: int) -> None:
    """Raise ``Refusal`` when a stop would trigger at once."""
    if new.type not in _STOPS:
        return
    last = rupees(last_paise)
    if new.side is Side.BUY and new.trigger <= last:
        raise Refusal(RefusalCode.TRIGGER, f"trigger price {new.trigger} of a buy must be above LTP {last}")
    if new.side is Side.SELL and new.trigger >= last:
        raise Refusal(RefusalCode.TRIGGER, f"trigger price {new.trigger} of a sale must be below LTP {last}")


def check_band(new: NewOrder, market: Snapshot) -> None:
    """Raise ``Refusal`` for a price beyond the day's circuit limits."""
    low, high = rupees(market.lower_circuit_paise), rupees(market.upper_circuit_paise)
    prices = [new.price] if new.type in _PRICED else []
    if new.type in _STOPS:
        prices.append(new.trigger)
    for price in prices:
        if not low <= price <= high:
            raise Refusal(RefusalCode.BAND, f"price {price} is outside the circuit limits {low} - {high}")
