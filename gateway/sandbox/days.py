"""The paper exchange's days: square-off, close, midnight, daily results, reset.

Nothing happens by a timer of its own: ``duties`` is called every second with the clock's time, and does what
has become due, also what became due while the process was down.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.model import InstrumentKey
from brokers.sim.exchange.types import (
    PAISA,
    Listing,
    NewOrder,
    Side,
    SimPosition,
    Status,
    Type,
)
from gateway.sandbox.account import NAME, PaperState
from gateway.sandbox.exchange import ExchangeParts, PaperExchange
from gateway.sandbox.hours import ist_day
from gateway.sandbox.mapping import key_of

log = logging.getLogger(__name__)

RESULT_EVERY_S = 60.0


class PaperDays(PaperExchange):
    """The exchange with a calendar."""

    def __init__(self, parts: ExchangeParts) -> None:
        super().__init__(parts)
        self._result_at = float("-inf")
        self._waiting_price: set[InstrumentKey] = set()
        newest = self._books.days(1)
        for text, units in (newest[0][1].get("marks", {}) if newest else {}).items():
            exchange, _, symbol = text.partition(":")
            self._prices.remember(InstrumentKey(exchange, symbol), int(units))

    def duties(self) -> None:
        """Do what is due. Raises ``StoreError``."""
        self._mend()
        with self._lock:
            now = self._clock.now()
            self._turn_if_due(now)
            self._close(now)
            self._square_off(now)
            changed = self._flush()
            if self._clock.monotonic() >= self._result_at:
                self._result_at = self._clock.monotonic() + RESULT_EVERY_S
                self._books.put_day(self._state.day, self.result())
        self._parts.changed(changed)

    def reset(self) -> PaperState:
        """Begin anew: no orders, positions, holdings; the starting capital; daily results are kept.

        Working orders are cancelled first, so that whoever waits for them learns it.
        """
        self._mend()
        with self._lock:
            now = self._clock.now()
            self._turn_if_due(now)
            for order in list(self._account.working.values()):
                self._end(order, Status.CANCELLED, now, "the sandbox was reset")
            changed = self._flush()
            self._begin_anew()
            state = self._state
        self._parts.changed(changed)
        self._books.settle()
        return state

    def result(self) -> dict[str, Any]:
        """The day so far, JSON-ready; rupees as text."""
        with self._lock:
            funds, state = self._account.funds(), self._state
            positions = []
            marks: dict[str, int] = {}
            for position in self._account.positions():
                key = key_of(position.listing)
                mark = self._prices.mark(key)
                if mark is not None:
                    marks[str(key)] = mark
                positions.append(_position_result(position, mark))
            for holding in self._account.holdings():
                mark = self._prices.mark(key_of(holding.listing))
                if mark is not None:
                    marks[str(key_of(holding.listing))] = mark
            return {
                "taken_at": self._clock.now().isoformat(),
                "capital": str(state.capital),
                "available": str(funds.available),
                "utilised": str(funds.utilised),
                "realized_pnl": str(funds.realized),
                "unrealized_pnl": str(funds.unrealized),
                "total_realized_pnl": str(state.realized_before + funds.realized),
                "orders": len(self._orders),
                "trades": len(self._account.trades),
                "positions": positions,
                "marks": marks,
                "resets": state.reset_count,
            }

    def results(self, limit: int = 30) -> list[tuple[str, dict[str, Any]]]:
        """The newest days and how they ended (today's: so far), newest first."""
        with self._lock:
            today = self._state.day.isoformat(), self.result()
        self._books.settle()
        return [today, *(day for day in self._books.days(limit) if day[0] != today[0])][:limit]

    # --- inside, under the lock

    def _turn_if_due(self, now: datetime) -> None:
        today = ist_day(now)
        if today <= self._state.day:
            return
        old = self._state
        for order in list(self._account.working.values()):
            self._end(order, Status.EXPIRED, now, "not traded by the end of its day")
        changed = self._flush()
        self._books.put_day(old.day, self.result())
        if self._reset_falls_between(old.day, today):
            self._begin_anew()
        else:
            self._next_day(today)
        log.info("the sandbox's day is now %s", today)
        self._parts.changed(changed)

    def _next_day(self, today: date) -> None:
        old, account = self._state, self._account
        expired = sum(
            (
                position.unrealized(position.listing.rupees(self._last_price(position.listing)))
                for position in account.positions()
                if position.net and position.listing.expiry is not None and position.listing.expiry < today
            ),
            Decimal(0),
        )
        carried = account.next_day(today, self._last_price)
        names = [f"{h.listing.exchange}:{h.listing.symbol}" for h in carried.holdings]
        self._state = PaperState(
            day=today,
            capital=old.capital,
            account=carried,
            realized_before=old.realized_before + account.realized + expired.quantize(PAISA),
            last_reset=old.last_reset,
            reset_count=old.reset_count,
            settled={name: old.settled.get(name, today.isoformat()) for name in names},
        )
        self._clear()
        self._books.put_state(self._state)

    def _begin_anew(self) -> None:
        self._state = self._opening(self._state.reset_count + 1)
        self._clear()
        self._books.put_state(self._state)
        log.info("the sandbox was reset to %s rupees", self._state.capital)

    def _reset_falls_between(self, old: date, today: date) -> bool:
        wanted = self._rules.reset_day
        if wanted is None:
            return False
        days = min((today - old).days, 7)
        return any((today - timedelta(days=back)).weekday() == wanted for back in range(days))

    def _last_price(self, listing: Listing) -> int:
        """Final price of an expired contract: the last known one, else what was paid for it."""
        mark = self._prices.mark(key_of(listing))
        if mark is not None:
            return mark
        log.warning("no price of %s is known: it is settled at its average", key_of(listing))
        found = [p for p in self._account.positions() if p.listing == listing and p.net]
        return listing.units(found[0].average) if found else 0

    def _close(self, now: datetime) -> None:
        """Orders are for the day: what did not trade by the close of its exchange is over."""
        for order in list(self._account.working.values()):
            closes = self._parts.hours.closes(order.new.listing.exchange, self._state.day)
            if closes is not None and now >= closes:
                self._end(order, Status.EXPIRED, now, "not traded by the close of its exchange")

    def _square_off(self, now: datetime) -> None:
        """Close intraday positions that are due; those carried from an earlier day always are."""
        for order in list(self._account.working.values()):
            if order.new.product == "MIS" and self._is_due(order.new.listing.exchange, now):
                self._end(order, Status.CANCELLED, now, "cancelled by the square-off of intraday positions")
        for position in self._account.positions():
            if position.product != "MIS" or not position.net:
                continue
            exchange = position.listing.exchange
            carried = position.carry_buy_qty + position.carry_sell_qty > 0
            if self._is_due(exchange, now) or (carried and self._parts.hours.squares_off(exchange)):
                self._flatten(position, now)

    def _is_due(self, exchange: str, now: datetime) -> bool:
        due = self._parts.hours.square_off(exchange, self._state.day)
        return due is not None and now >= due

    def _flatten(self, position: SimPosition, now: datetime) -> None:
        """Close one position at the market, or at the last known price when there is none any more."""
        listing, net = position.listing, position.net
        key = key_of(listing)
        self._prices.follow(key)
        mark = self._prices.mark(key)
        if mark is None:
            if key not in self._waiting_price:
                self._waiting_price.add(key)
                log.warning("square-off of %s waits for a first price", key)
            return
        self._waiting_price.discard(key)
        side = Side.SELL if net > 0 else Side.BUY
        order = self._new(NewOrder(NAME, listing, side, Type.MARKET, position.product, abs(net)), now)
        order.reason = "square-off of intraday positions"
        self._work(order, listing.rupees(mark))
        self._enter(order, False, now)
        if order.remaining:
            self._matching.remove(order)
            self._fill(order, order.remaining, mark, now)


def _position_result(position: SimPosition, mark: int | None) -> dict[str, Any]:
    listing = position.listing
    price = position.average if mark is None else listing.rupees(mark)
    return {
        "exchange": listing.exchange,
        "symbol": listing.symbol,
        "product": position.product,
        "quantity": position.net,
        "average_price": str(position.average.quantize(Decimal("0.0001"))),
        "realized_pnl": str(position.realized),
        "unrealized_pnl": str(position.unrealized(price).quantize(PAISA) if position.net else Decimal(0)),
    }
