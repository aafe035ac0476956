"""What paper GTT orders block while they are armed, as OpenAlgo's sandbox does.

(Real brokers block nothing before the trigger: neither Dhan's forever orders nor an order this gateway keeps
for Kotak cost margin.)

A GTT blocks what its dearest leg would as an order beside everything that is open, worked out when it was
armed. It frees it when it fires, is cancelled or expires; the order of a fire is margined as any other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from brokers.model import GttRequest, Instrument, PriceType
from brokers.sim.exchange.types import Listing, Refusal, RefusalCode, Side
from gateway.sandbox import mapping


class Account(Protocol):
    """The paper exchange, as far as money goes."""

    def more_for(
        self, listing: Listing, product: str, side: Side, quantity: int, price: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Rupees an order would block beyond what is blocked now, and rupees available."""
        ...

    def reserve(self, total: Decimal) -> None: ...


class GttPurse:
    """Implements ``triggers.parts.Purse``; ``lock`` holds what is armed still between a check and its row."""

    def __init__(self, account: Account) -> None:
        self.lock = threading.RLock()
        self._account = account
        self._armed: dict[str, tuple[GttRequest, Decimal]] = {}

    def check(self, trigger_id: str, request: GttRequest, instrument: Instrument) -> None:
        with self.lock:
            needs, available = self._needs(request, instrument)
            available += self.blocked(trigger_id)
            if needs > available:
                raise mapping.error_of(
                    Refusal(
                        RefusalCode.MARGIN,
                        f"insufficient funds in the sandbox: the GTT blocks {needs:.2f} while it is armed, "
                        f"available {available:.2f}",
                    )
                )

    def add(self, trigger_id: str, request: GttRequest, instrument: Instrument) -> None:
        with self.lock:
            known = self._armed.get(trigger_id)
            if known is None or known[0] != request:
                self._armed[trigger_id] = (request, self._needs(request, instrument)[0])
                self._tell()

    def keep(self, armed: Mapping[str, tuple[GttRequest, Instrument]]) -> None:
        with self.lock:
            for trigger_id in self._armed.keys() - armed.keys():
                del self._armed[trigger_id]
            for trigger_id, (request, instrument) in armed.items():
                self.add(trigger_id, request, instrument)
            self._tell()

    def free(self, trigger_id: str) -> None:
        with self.lock:
            if self._armed.pop(trigger_id, None) is not None:
                self._tell()

    def blocked(self, trigger_id: str) -> Decimal:
        known = self._armed.get(trigger_id)
        return Decimal(0) if known is None else known[1]

    def _needs(self, request: GttRequest, instrument: Instrument) -> tuple[Decimal, Decimal]:
        listing, side = mapping.listing_of(instrument), Side(request.action.value)
        market = request.price_type is PriceType.MARKET
        costs, available = [Decimal(0)], Decimal(0)
        for leg in request.legs:
            price = leg.trigger_price if market else leg.price
            more, available = self._account.more_for(
                listing, str(request.product), side, request.quantity, price
            )
            costs.append(more)
        return max(costs), available

    def _tell(self) -> None:
        self._account.reserve(sum((amount for _, amount in self._armed.values()), Decimal(0)))
