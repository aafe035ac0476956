"""Subscriptions nobody on a WebSocket asked for: pinned symbols, the account's positions, ZeroMQ topics.

All three are wishes by name. What the instrument table does not know yet stays wished for and is tried again
whenever the table changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from brokers.errors import AlgoError, BrokerDown
from brokers.model import InstrumentKey, Mode
from gateway.stream.fanout import Fanout, Keeper
from gateway.stream.hub import ASKED
from gateway.stream.protocol import Item
from gateway.stream.topics import Name, pin

log = logging.getLogger(__name__)

ACCOUNT_PATH = "/internal/positions-and-orders"


class Link(Protocol):
    """The way to the api process."""

    async def get(self, path: str, *, timeout_s: float = 5.0) -> tuple[int, Any]: ...


class Standing:
    """One keeper's wishes."""

    def __init__(self, fanout: Fanout, name: str, priority: int = ASKED) -> None:
        self._fanout = fanout
        self._keeper = Keeper(name, priority)
        self._held: set[Item] = set()
        self._waiting: dict[Item, str] = {}
        self._full: set[Item] = set()
        self._changing = asyncio.Lock()

    @property
    def waiting(self) -> dict[Item, str]:
        """Items not subscribed, and why."""
        return dict(self._waiting)

    def holds(self, item: Item) -> bool:
        return item in self._held

    async def add(self, items: Iterable[Item]) -> None:
        async with self._changing:
            await self._add(items)

    async def remove(self, items: Iterable[Item]) -> None:
        async with self._changing:
            await self._remove(items)

    async def become(self, items: Iterable[Item]) -> None:
        """Hold exactly these."""
        wanted = set(items)
        async with self._changing:
            await self._remove([i for i in (*self._held, *self._waiting) if i not in wanted])
            # what the table does not know is tried when the table changes, what found no slot each time
            await self._add(i for i in wanted if i not in self._waiting or i in self._full)

    async def retry(self) -> None:
        """The instrument table has changed."""
        await self.add(list(self._waiting))

    async def _add(self, items: Iterable[Item]) -> None:
        wanted = [item for item in dict.fromkeys(items) if item not in self._held]
        if not wanted:
            return
        for outcome in await self._fanout.subscribe(self._keeper, wanted):
            if outcome.channel is not None:
                self._held.add(outcome.item)
                self._waiting.pop(outcome.item, None)
                self._full.discard(outcome.item)
                continue
            if outcome.full:
                self._full.add(outcome.item)
            if outcome.error not in self._waiting.values():
                log.warning("%s: %s", self._keeper.name, outcome.error)
            self._waiting[outcome.item] = outcome.error

    async def _remove(self, items: Iterable[Item]) -> None:
        gone = list(dict.fromkeys(items))
        for item in gone:
            self._waiting.pop(item, None)
            self._full.discard(item)
        held = [item for item in gone if item in self._held]
        self._held.difference_update(held)
        if held:
            await self._fanout.unsubscribe(self._keeper, held)


def pinned(symbols: Iterable[str]) -> list[Item]:
    """``SYMBOLS``, ``WATCHLIST`` and ``SYMBOLS_FILE`` as items."""
    return [Item(key.exchange, key.symbol, Mode.QUOTE) for key in map(pin, symbols)]


class Account:
    """Subscribes what the account holds or has working orders in, as the api process sees it.

    Args:
        positions, orders: Two keepers, because positions go before working orders where slots are short.
    """

    def __init__(self, positions: Standing, orders: Standing, link: Link, *, every_s: float = 5.0) -> None:
        self._positions = positions
        self._orders = orders
        self._link = link
        self._every_s = every_s
        self._now = asyncio.Event()

    def look_now(self, key: InstrumentKey) -> None:
        """An order changed: do not wait for the next turn, unless its instrument is streamed already."""
        item = Item(key.exchange, key.symbol, Mode.QUOTE)
        if not (self._positions.holds(item) or self._orders.holds(item)):
            self._now.set()

    async def run(self) -> None:
        while True:
            self._now.clear()
            await self._once()
            try:
                async with asyncio.timeout(self._every_s):
                    await self._now.wait()
            except TimeoutError:
                continue

    async def _once(self) -> None:
        try:
            status, body = await self._link.get(ACCOUNT_PATH)
        except BrokerDown as exc:
            log.debug("positions not read: %s", exc)
            return
        # what is not known is not zero: an answer that is no list changes nothing
        if status != 200 or not isinstance(body, dict) or not isinstance(body.get("keys"), list):
            return
        # an older api process does not tell the two apart
        await self._positions.become(_items(body.get("positions", body["keys"])))
        await self._orders.become(_items(body.get("orders", [])))


def _items(keys: Any) -> list[Item]:
    return [Item(str(k["exchange"]), str(k["symbol"]), Mode.QUOTE) for k in keys]


class Topics:
    """Full topics of ZeroMQ subscribers, in the order they came and went."""

    def __init__(self, standing: Standing, *, most_waiting: int = 100_000) -> None:
        self._standing = standing
        self._changes: asyncio.Queue[tuple[Item, bool]] = asyncio.Queue(most_waiting)
        self.overflowed = 0

    def heard(self, name: Name, joined: bool) -> None:
        """From the bus; never blocks."""
        try:
            self._changes.put_nowait((Item(name.exchange, name.symbol, name.mode), joined))
        except asyncio.QueueFull:
            self.overflowed += 1
            log.error("too many ZeroMQ subscriptions at once: %s not acted on", name)

    async def run(self) -> None:
        while True:
            changes = [await self._changes.get()]
            while not self._changes.empty():
                changes.append(self._changes.get_nowait())
            # the last word on each topic counts
            final = dict(changes)
            await self._standing.remove(item for item, joined in final.items() if not joined)
            await self._standing.add(item for item, joined in final.items() if joined)


async def follow_table(
    synced_at: Callable[[], str | None],
    fanout: Fanout,
    standings: Iterable[Standing],
    *,
    every_s: float = 1.0,
) -> None:
    """When the instrument table changes: renew the facts of what is wanted, try again what was unknown."""
    known: str | None = None
    while True:
        stamp = await asyncio.to_thread(synced_at)
        if stamp is not None and stamp != known:
            known = stamp
            await _refresh(fanout)
            for standing in standings:
                await standing.retry()
        await asyncio.sleep(every_s)


async def _refresh(fanout: Fanout) -> None:
    keys = {want.instrument.key for want in fanout.hub.wants()}
    found = await fanout.resolve([Item(key.exchange, key.symbol, Mode.LTP) for key in keys])
    for hit in found:
        if not isinstance(hit, AlgoError):
            fanout.carry_out(fanout.hub.replace(hit[1]))
