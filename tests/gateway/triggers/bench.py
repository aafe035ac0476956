"""GTT orders the gateway keeps, on a real database and a real order desk; only the broker is scripted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec

from brokers import dhan
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.model import Action, GttLeg, GttRequest, InstrumentKey, PriceType, Product, Quote
from gateway.store.gtt import GttStore
from gateway.triggers.kept import GatewayGtts
from gateway.triggers.parts import GttParts
from tests.gateway.trading.desks import Bench

SBIN = InstrumentKey("NSE", "SBIN")
TOPIC = b"NSE_SBIN_LTP"


def leg(trigger: str, price: str = "800", *, rises: bool = False) -> GttLeg:
    return GttLeg(Decimal(trigger), Decimal(price), rises)


def single(trigger: str = "790", **more) -> GttRequest:
    rises = more.pop("rises", False)
    return gtt(leg(trigger, more.pop("price", "789.5"), rises=rises), **more)


def oco(**more) -> GttRequest:
    return gtt(leg("790", "789.5"), leg("820", "819.5", rises=True), **more)


def gtt(*legs: GttLeg, **more) -> GttRequest:
    given = {
        "key": SBIN,
        "action": Action.SELL,
        "quantity": 5,
        "price_type": PriceType.LIMIT,
        "product": Product.CNC,
        "legs": legs,
    }
    return GttRequest(**{**given, **more})


class FakeTicks:
    """The bus as far as GTT orders see it; ``send`` is what the feed would publish."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[bytes, bytes], None]] = []
        self.wanted: set[InstrumentKey] = set()

    def want(self, keys: Iterable[InstrumentKey]) -> None:
        self.wanted |= set(keys)

    def listen(self, listener: Callable[[bytes, bytes], None]) -> None:
        self.listeners.append(listener)

    def send(self, price: float, *, age_s: float = 0.0, topic: bytes = TOPIC, **more) -> None:
        now = time.time_ns() // 1_000_000
        payload = {"ltp": price, "timestamp": now - int(age_s * 1000), "ltt": now, "mode": 1} | more
        for listener in self.listeners:
            listener(topic, msgspec.json.encode(payload))


class Keeper:
    """One database, and as many processes after each other as a test kills."""

    def __init__(self, path: Path, **more) -> None:
        self.bench = Bench(path)
        self.more = more
        self.quotes: dict[InstrumentKey, float] = {}
        self.quoted = 0
        self.blocked = ""
        self.extremes: dict[InstrumentKey, tuple[float, float]] = {}
        self.gtts: GatewayGtts | None = None

    @property
    def rest(self):
        return self.bench.rest

    def open(self, *, start: bool = True) -> GatewayGtts:
        self.bench.open()
        self.ticks = FakeTicks()
        self.store = GttStore(self.bench.database, SystemClock())
        given = {
            "title": "Kotak",
            "store": self.store,
            "desk": self.bench.desk,
            "table": self.bench.desk._parts.instruments,
            "exchanges": dhan.SPEC.capabilities.exchanges,
            "calendar": AlwaysOpen(),
            "clock": SystemClock(),
            "ticks": self.ticks,
            "quotes": self._quotes,
            "last_price": lambda key: None,
            "blocked": lambda: self.blocked,
        }
        self.parts = GttParts(**{**given, **self.more})
        self.gtts = GatewayGtts(self.parts)
        if start:
            self.gtts.start()
        return self.gtts

    def _quotes(self, keys):
        self.quoted += 1
        found = {k: quote(k, self.quotes[k]) for k in keys if k in self.quotes}
        for key, (low, high) in self.extremes.items():
            if key in found:
                found[key] = replace(found[key], low=low, high=high)
        return found, {}

    def close(self) -> None:
        if self.gtts is not None:
            self.gtts.stop()
        self.bench.close()

    def restart(self) -> GatewayGtts:
        self.close()
        return self.open()

    def state(self, trigger_id: str) -> str:
        row = self.store.get(trigger_id)
        assert row is not None
        return row.known.state.value

    def kinds(self, trigger_id: str) -> list[str]:
        row = self.store.get(trigger_id)
        assert row is not None
        return [event["kind"] for event in self.store.events(row.id)]

    def orders(self) -> list[tuple[str, int, Decimal]]:
        """What the broker has."""
        return [(o.action.value, o.quantity, o.price) for o in self.rest.book.values()]


def quote(key: InstrumentKey, ltp: float) -> Quote:
    return Quote(key, ltp, ltp, ltp, ltp, ltp, 1, 0, last_trade_ms=time.time_ns() // 1_000_000)
