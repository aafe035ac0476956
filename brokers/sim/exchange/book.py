"""Working orders of one listing, in price-time priority. Pure."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from brokers.sim.exchange.types import Listing, Side, SimOrder, Type

_ANY = 1 << 60


@dataclass(slots=True)
class Entry:
    """A working order with its place in the queue."""

    order: SimOrder
    priority: int
    limit: int
    """Limit in the listing's smallest unit; for a market order a price beyond any other."""

    @property
    def is_market(self) -> bool:
        return self.order.new.type in (Type.MARKET, Type.STOP_MARKET)

    def accepts(self, price: int) -> bool:
        """The order would trade at ``price``."""
        return price <= self.limit if self.order.new.side is Side.BUY else price >= self.limit


def entry_of(order: SimOrder, priority: int) -> Entry:
    if order.new.type in (Type.MARKET, Type.STOP_MARKET):
        limit = _ANY if order.new.side is Side.BUY else -_ANY
    else:
        limit = order.new.listing.units(order.new.price)
    return Entry(order, priority, limit)


def _rank(entry: Entry) -> tuple[int, int]:
    return (-entry.limit if entry.order.new.side is Side.BUY else entry.limit), entry.priority


@dataclass(slots=True)
class Book:
    """Resting orders and waiting stops of one listing.

    Attributes:
        taken: What users took from the synthetic levels while ``seq`` was current, by (side, price).
    """

    listing: Listing
    buys: list[Entry] = field(default_factory=list)
    sells: list[Entry] = field(default_factory=list)
    stops: list[Entry] = field(default_factory=list)
    seq: int = -1
    taken: dict[tuple[Side, int], int] = field(default_factory=dict)

    def side(self, side: Side) -> list[Entry]:
        return self.buys if side is Side.BUY else self.sells

    def rest(self, entry: Entry) -> None:
        insort(self.side(entry.order.new.side), entry, key=_rank)

    def wait(self, entry: Entry) -> None:
        insort(self.stops, entry, key=lambda e: e.priority)

    def remove(self, order: SimOrder) -> Entry | None:
        """Take an order out; None if it is not here."""
        for entries in (self.buys, self.sells, self.stops):
            for index, entry in enumerate(entries):
                if entry.order is order:
                    return entries.pop(index)
        return None

    def against(self, order: SimOrder) -> Iterator[Entry]:
        """The other side's entries, best first, without the account's own (no wash trades)."""
        opposite = Side.SELL if order.new.side is Side.BUY else Side.BUY
        return (e for e in list(self.side(opposite)) if e.order.new.account != order.new.account)

    def levels_at(self, seq: int) -> dict[tuple[Side, int], int]:
        """What was already taken from the synthetic book of one ``seq``."""
        if seq != self.seq:
            self.seq = seq
            self.taken = {}
        return self.taken

    @property
    def empty(self) -> bool:
        return not (self.buys or self.sells or self.stops)
