"""What a caller may call an instrument: OpenAlgo's symbol, or the broker's display name in any case."""

from __future__ import annotations

from typing import Any

from brokers.model import InstrumentKey
from gateway.api.parts import Parts


def in_openalgos_words(parts: Parts, data: Any) -> Any:
    """A checked request with every ``symbol`` beside an ``exchange`` in OpenAlgo's spelling, lists included.

    A name nobody knows stays as it was asked for: who needs the instrument says what it is like.
    """
    if isinstance(data, list):
        return [in_openalgos_words(parts, item) for item in data]
    if not isinstance(data, dict):
        return data
    spelt = {
        name: in_openalgos_words(parts, value) if isinstance(value, list) else value
        for name, value in data.items()
    }
    exchange, symbol = spelt.get("exchange"), spelt.get("symbol")
    if isinstance(exchange, str) and isinstance(symbol, str):
        spelt["symbol"] = key_of(parts, exchange, symbol).symbol
    return spelt


def key_of(parts: Parts, exchange: str, symbol: str) -> InstrumentKey:
    """The key two words mean; as asked when nobody knows them."""
    asked = InstrumentKey(exchange, symbol)
    if parts.instruments.by_key(asked) is not None:
        return asked
    found = parts.instruments.find(symbol, exchange)
    return asked if found is None else found.key
