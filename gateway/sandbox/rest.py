"""The paper broker in the words every broker has: what the sandbox's order desk talks to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from brokers.clock import Clock
from brokers.contract import Margin, MarginLeg
from brokers.errors import BrokerDown, NotSupported, StoreError
from brokers.model import (
    Candle,
    Funds,
    Holding,
    Instrument,
    InstrumentKey,
    Order,
    OrderChange,
    OrderRequest,
    Placement,
    Position,
    Quote,
    SentTerms,
    Trade,
)
from brokers.sim.exchange.types import Listing, NewOrder, Refusal, Side, Type
from gateway.sandbox import mapping
from gateway.sandbox.account import NAME
from gateway.sandbox.days import PaperDays
from gateway.sandbox.margin import cost
from gateway.sandbox.prices import LivePrices
from gateway.settings.sandbox import Leverage

T = TypeVar("T")


class PaperRest:
    """``brokers.contract.Rest`` without a network.

    It never loses an answer: what cannot be written to disk was not done. Orders trade at the price asked
    for: there is no price protection here.
    """

    def __init__(self, exchange: PaperDays, prices: LivePrices, clock: Clock, leverage: Leverage) -> None:
        self._exchange = exchange
        self._prices = prices
        self._clock = clock
        self._leverage = leverage
        self._listings: dict[InstrumentKey, tuple[Instrument, Listing]] = {}

    def place(self, order: OrderRequest, instrument: Instrument, tag: str, *, ltp: float | None) -> Placement:
        sent_ns = self._clock.time_ns()
        new = NewOrder(
            account=NAME,
            listing=self._listing(instrument),
            side=Side(order.action.value),
            type=Type(order.price_type.value),
            product=str(order.product),
            quantity=order.quantity,
            price=order.price,
            trigger=order.trigger_price,
            disclosed=order.disclosed_quantity,
            tag=tag,
        )
        shown = self._write(lambda: self._exchange.place(new))
        return self._placement(shown, sent_ns)

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        sent_ns = self._clock.time_ns()
        shown = self._write(
            lambda: self._exchange.modify(
                change.order_id,
                type=Type(change.price_type.value),
                quantity=change.quantity,
                price=change.price,
                trigger=change.trigger_price,
                disclosed=change.disclosed_quantity,
            )
        )
        return self._placement(shown, sent_ns)

    def cancel(self, order_id: str) -> None:
        self._write(lambda: self._exchange.cancel(order_id))

    def orders(self) -> list[Order]:
        return self._exchange.orders()

    def find_tag(self, tag: str) -> list[Order]:
        return self._exchange.tagged(tag)

    def trades(self) -> list[Trade]:
        return [mapping.trade_of(trade) for trade in self._exchange.trades()]

    def positions(self) -> list[Position]:
        return [
            mapping.position_of(p, self._prices.mark(mapping.key_of(p.listing)))
            for p in self._exchange.positions()
        ]

    def holdings(self) -> list[Holding]:
        return [
            mapping.holding_of(h, self._prices.mark(mapping.key_of(h.listing)))
            for h in self._exchange.holdings()
        ]

    def funds(self) -> Funds:
        return mapping.funds_of(self._exchange.funds())

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """By the sandbox's leverage, each leg for itself."""
        total = Decimal(0)
        for leg in legs:
            price = leg.order.price or leg.order.trigger_price or leg.price or Decimal(0)
            listing, side = self._listing(leg.instrument), Side(leg.order.action.value)
            value = leg.order.quantity * price
            total += cost(self._leverage, listing, str(leg.order.product), side, value)
        return Margin(total)

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        raise NotSupported(f"the sandbox has no quotes of its own ({len(instruments)} asked for)")

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        raise NotSupported(f"the sandbox has no candles ({instrument.key} {interval} {start} {end})")

    def _listing(self, instrument: Instrument) -> Listing:
        known = self._listings.get(instrument.key)
        if known is None or known[0] is not instrument:
            known = self._listings[instrument.key] = (instrument, mapping.listing_of(instrument))
        return known[1]

    def _placement(self, shown: Order, sent_ns: int) -> Placement:
        sent = SentTerms(shown.price_type, shown.price, shown.trigger_price)
        return Placement(shown.order_id, shown.status, sent, sent_ns, self._clock.time_ns(), shown)

    @staticmethod
    def _write(call: Callable[[], T]) -> T:
        try:
            return call()
        except Refusal as refusal:
            raise mapping.error_of(refusal) from refusal
        except StoreError as exc:
            raise BrokerDown(f"the sandbox's books cannot be written, nothing was done: {exc}") from exc
