"""A rig whose table has NIFTY and its options, priced by Black-76 around a forward above the spot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from brokers.clock import IST
from brokers.model import Instrument, InstrumentKey, OrderRequest, Quote
from gateway.options import greeks, strikes
from gateway.trading.limiter import Lane
from tests.gateway.api.rig import Rig, instrument, running

SPOT, FORWARD, SIGMA = 26012.4, 26031.0, 0.14
NIFTY = InstrumentKey("NSE_INDEX", "NIFTY")
LADDER = (25700, 25800, 25850, 25900, 25950, 26000, 26050, 26100, 26200, 26300)


@dataclass
class Options:
    """The rig, the two listed expiries, and prices a test may change."""

    rig: Rig
    near: date
    far: date
    prices: dict[InstrumentKey, float]
    before: int = 0

    def reset(self) -> None:
        """Forget what an earlier test did; its orders stay in the journal."""
        rest = self.rig.rest
        self.prices.clear()
        rest.no_quote.clear()
        rest.fail.clear()
        rest.quote_calls.clear()
        self.before = len(rest.placed)

    @property
    def placed(self) -> list[OrderRequest]:
        """Orders that left since the last reset."""
        return [order for order, _, _ in self.rig.rest.placed[self.before :]]

    def symbol(self, strike: object, kind: str, expiry: date | None = None) -> str:
        return f"NIFTY{strikes.compact(expiry or self.near)}{strike}{kind}"

    def key(self, strike: object, kind: str) -> InstrumentKey:
        return InstrumentKey("NFO", self.symbol(strike, kind))

    def quotes(self, rows: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        self.rig.rest.quote_calls.append([row.key for row in rows])
        found = {row.key: self._price(row) for row in rows if row.key not in self.rig.rest.no_quote}
        return {key: Quote(key, p, p, p, p, p - 1, 7, 9, p, p, 1, 2) for key, p in found.items()}

    def _price(self, row: Instrument) -> float:
        if row.key in self.prices:
            return self.prices[row.key]
        if row.expiry is None or row.instrument_type == "FUT":
            return SPOT
        years = greeks.years_until(strikes.ends_at(row.expiry, row.key.exchange), datetime.now(IST))
        terms = greeks.Contract(row.instrument_type, FORWARD, float(row.strike), years)
        return greeks.price(terms, SIGMA)


def rows(near: date, far: date) -> Iterator[Instrument]:
    number = 1000
    for expiry in (near, far):
        for strike in LADDER:
            for kind in ("CE", "PE"):
                number += 1
                yield instrument(
                    "NFO",
                    f"NIFTY{strikes.compact(expiry)}{strike}{kind}",
                    str(number),
                    name="NIFTY",
                    instrument_type=kind,
                    lot_size=65,
                    expiry=expiry,
                    strike=Decimal(strike),
                    freeze_qty=1800,
                )


@contextmanager
def options(home: Path) -> Iterator[Options]:
    with running(home) as rig:
        today = datetime.now(IST).date()
        near, far = today + timedelta(days=7), today + timedelta(days=35)
        rig.source.rows += rows(near, far)
        rig.parts.sync.sync()
        one = Options(rig, near, far, {})
        rig.rest.quotes = one.quotes  # type: ignore[method-assign]
        # the broker's one quote call a second is the limiter's own claim; here it would only be waiting
        rig.parts.market._parts.limiter._gates[Lane.QUOTE].windows = []
        yield one
