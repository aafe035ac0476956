"""The checks of a new or changed GTT, with the price they need."""

from __future__ import annotations

from brokers.model import GttRequest, Instrument, InstrumentKey
from gateway.triggers import checks
from gateway.triggers.parts import GttParts


def vet(parts: GttParts, request: GttRequest) -> Instrument:
    """Raises ``InvalidRequest``, or what asking for a price raised; nothing was kept or sent then."""
    instrument = parts.table.by_key(request.key)
    return checks.check(
        request,
        instrument,
        exchanges=parts.exchanges,
        now=parts.clock.now(),
        nearest=parts.table.nearest,
        last_price=None if instrument is None else _last_price(parts, request.key),
    )


def _last_price(parts: GttParts, key: InstrumentKey) -> float | None:
    """A recent price, else the broker's quote; None when the broker has none for it."""
    known = parts.last_price(key)
    if known is not None:
        return known
    found, _ = parts.quotes([key])
    return found[key].ltp if key in found else None
