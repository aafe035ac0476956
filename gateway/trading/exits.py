"""Getting out: cancel everything, close everything, and say honestly what did not work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from brokers.errors import AlgoError, RateLimited
from brokers.model import Action, Order, OrderRequest, OrderStatus, Position, PriceType, Product
from gateway.trading.answers import CancelReport, CloseReport, Exit, Failure
from gateway.trading.reconcile import Holder
from gateway.trading.tasks import Tasks, each

if TYPE_CHECKING:
    from gateway.trading.desk import OrderDesk

WORKING = (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING, OrderStatus.UNKNOWN)
DEADLINE_S = 20.0
"""How long the whole of it may wait for turns and slots; what has not left by then is reported as failed."""
AT_ONCE = 8


def every(_: object) -> bool:
    return True


class Exits:
    """``cancel_all`` and ``close_all`` of one desk."""

    def __init__(self, desk: OrderDesk, tasks: Tasks) -> None:
        self._desk = desk
        self._tasks = tasks
        # two closings at once would each send an exit for the same position, and the second would open one
        self._closing = tasks.lock()

    def cancel_all(self, strategy: str, only: Callable[[Order], bool] = every) -> CancelReport:
        """Raises the broker's errors when its book cannot be read: nothing was done then."""
        ends = self._desk.monotonic() + DEADLINE_S
        working = [o.order_id for o in self._desk.orders() if o.status in WORKING and only(o)]
        cancelled: list[str] = []
        failed: list[Failure] = []
        for order_id, problem in each(
            self._tasks, lambda order_id: self._cancel(order_id, strategy, ends), working, AT_ONCE
        ):
            if problem is None:
                cancelled.append(order_id)
            else:
                failed.append(problem)
        return CancelReport(tuple(cancelled), tuple(failed))

    def close_all(self, strategy: str, only: Callable[[Position], bool] = every) -> CloseReport:
        """Raises the broker's errors when its positions cannot be read: nothing was done then."""
        ends = self._desk.monotonic() + DEADLINE_S
        with self._closing, ExitStack() as turns:
            positions, working, failed = self._held(turns, ends, only)
            requests: list[OrderRequest] = []
            for position in positions:
                try:
                    requests += self._requests(position, working.get((position.key, position.product), 0))
                except (AlgoError, ValueError) as exc:
                    code = exc.code if isinstance(exc, AlgoError) else "NOT_TRADABLE"
                    failed.append(Failure(f"{position.key} {position.product}", code, str(exc)))
            closed: list[Exit] = []
            for _, result in each(
                self._tasks, lambda request: self._exit(request, strategy, ends), requests, AT_ONCE
            ):
                if isinstance(result, Exit):
                    closed.append(result)
                else:
                    failed.append(result)
        return CloseReport(tuple(closed), tuple(failed))

    def _held(
        self, turns: ExitStack, ends: float, only: Callable[[Position], bool]
    ) -> tuple[list[Position], dict[Holder, int], list[Failure]]:
        """The open positions, each with its turn taken, and what exits sent earlier still work on.

        With its turn taken, a smart order on it has ended or waits.

        They are read again after the last turn has come, because what held it may have changed them.
        """
        late: dict[Holder, Failure] = {}
        taken: set[Holder] = set()
        while True:
            self._desk.settled()
            # before the positions: an exit that fills in between is left out twice then, never sent twice
            working = self._desk.working_exits()
            positions = {(p.key, p.product): p for p in self._desk.positions() if p.quantity and only(p)}
            fresh = sorted(positions.keys() - taken - late.keys())
            if not fresh:
                held = [p for holder, p in positions.items() if holder in taken]
                return held, working, list(late.values())
            for holder in fresh:
                try:
                    left_s = max(0.0, ends - self._desk.monotonic())
                    turns.enter_context(self._desk.turns.take(holder, left_s))
                    taken.add(holder)
                except RateLimited as exc:
                    late[holder] = Failure(f"{holder[0]} {holder[1]}", exc.code, str(exc))

    def _cancel(self, order_id: str, strategy: str, ends: float) -> Failure | None:
        left_s = max(0.0, ends - self._desk.monotonic())
        try:
            answer = self._desk.cancel(
                order_id, strategy=strategy, received_ns=self._desk.now_ns(), deadline_s=left_s
            )
        except AlgoError as exc:
            return Failure(order_id, exc.code, str(exc))
        return None if answer.ok else Failure(order_id, answer.code, answer.message)

    def _requests(self, position: Position, on_the_way: int) -> Iterator[OrderRequest]:
        """The exits of one position; what an earlier exit still works on is left out.

        Args:
            on_the_way: Signed quantity that working exits will still trade.
        """
        rest = position.quantity + on_the_way
        if rest * position.quantity <= 0:
            return
        action = reducing(position.quantity)
        product = Product(position.product)
        largest = self._desk.largest_order(position.key)
        left = abs(rest)
        while left > 0:
            piece = min(left, largest) if largest else left
            yield OrderRequest(position.key, action, piece, PriceType.MARKET, product)
            left -= piece

    def _exit(self, request: OrderRequest, strategy: str, ends: float) -> Exit | Failure:
        what = f"{request.key} {request.product}"
        try:
            answer = self._desk.place_exit(request, strategy, max(0.0, ends - self._desk.monotonic()))
        except AlgoError as exc:
            return Failure(what, exc.code, str(exc))
        if not answer.ok:
            return Failure(what, answer.code, answer.message)
        return Exit(request.key, request.product, request.quantity, answer.order_id, answer.status)


def reducing(quantity: int) -> Action:
    """The side that makes a position smaller."""
    return Action.SELL if quantity > 0 else Action.BUY
