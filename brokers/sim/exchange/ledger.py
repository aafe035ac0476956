"""The day's books: accounts, orders and their numbers, and how they are carried into the next day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal

from brokers.sim.exchange.account import Account, AccountState, open_state
from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.types import (
    Listing,
    Refusal,
    RefusalCode,
    SimOrder,
    SimTrade,
    Status,
)

_AVERAGE = Decimal("0.0001")


class Ledger:
    """Every account and order of one day.

    Args:
        find: A listing by exchange and symbol, for the holdings of a new account.
        mark: Last price of a listing in paise, now.
    """

    def __init__(
        self,
        find: Callable[[str, str], Listing | None],
        mark: Callable[[Listing], int],
        journal: Journal | None,
    ) -> None:
        self._find = find
        self._mark = mark
        self._journal = journal
        self._accounts: dict[str, Account] = {}
        self._orders: dict[str, tuple[int, SimOrder]] = {}
        self._issued = 0
        self._traded = 0

    def account(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None:
            state = open_state(account_id, self._find)
            if self._journal is not None:
                self._journal.open_account(state)
            account = self._accounts[account_id] = Account(state, self._mark)
        return account

    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def orders(self) -> Iterator[SimOrder]:
        return (order for _, order in self._orders.values())

    def order(self, order_id: str) -> SimOrder | None:
        known = self._orders.get(order_id)
        return known[1] if known else None

    def number(self, order_id: str) -> int:
        """An order's running number of the day."""
        return self._orders[order_id][0]

    def next_number(self) -> int:
        self._issued += 1
        return self._issued

    def enter(self, number: int, order: SimOrder) -> None:
        self._issued = max(self._issued, number)
        self._orders[order.order_id] = number, order
        self.account(order.new.account).enter(order)

    def changeable(self, account_id: str, order_id: str) -> SimOrder:
        """An account's order that can be modified or cancelled.

        Raises:
            Refusal: NOT_FOUND, IN_TRANSIT, FINAL.
        """
        order = self.account(account_id).orders.get(order_id)
        if order is None:
            raise Refusal(RefusalCode.NOT_FOUND, f"no order {order_id}")
        if order.status is Status.TRANSIT:
            raise Refusal(RefusalCode.IN_TRANSIT, f"order {order_id} is in transit; try again")
        if order.status.is_final:
            raise Refusal(RefusalCode.FINAL, f"order {order_id} is already {order.status.value}")
        return order

    def fill(self, order: SimOrder, quantity: int, price_paise: int, at: datetime, day: int) -> SimTrade:
        """Book one side of a trade. ``day`` counts from 1970-01-01 and begins the trade's id."""
        new = order.new
        self._traded += 1
        trade = SimTrade(
            f"{day:05d}{self._traded:08d}",
            order.order_id,
            new.account,
            new.listing,
            new.side,
            new.product,
            quantity,
            new.listing.rupees(price_paise),
            at,
        )
        order.trades.append(trade)
        order.filled += quantity
        value = sum((t.quantity * t.price for t in order.trades), Decimal(0))
        order.average = (value / order.filled).quantize(_AVERAGE)
        order.updated_at = at
        order.status = Status.PARTIAL if order.remaining else Status.FILLED
        account = self.account(new.account)
        account.book(trade)
        if order.status.is_final:
            account.working.pop(order.order_id, None)
        return trade

    def take_up(self, number: int, order: SimOrder) -> None:
        """An order of the journal, with its trades."""
        self.enter(number, order)
        account = self.account(order.new.account)
        for trade in order.trades:
            account.book(trade)
        account.trades.sort(key=lambda trade: trade.trade_id)
        self._traded += len(order.trades)

    def begin(self, states: list[AccountState]) -> None:
        """Empty books, with what the accounts carry."""
        self._accounts = {state.account: Account(state, self._mark) for state in states}
        self._orders.clear()
        self._issued = 0
        self._traded = 0

    def next_day(self, today: date, settle: Callable[[Listing], int]) -> None:
        """Carry every account into ``today`` and write that down. Its orders must be final."""
        states = [account.next_day(today, settle) for account in self._accounts.values()]
        self.begin(states)
        if self._journal is not None:
            self._journal.begin_day(today, states)
