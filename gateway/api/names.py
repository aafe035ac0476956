"""What a caller may call an instrument: OpenAlgo's symbol, or the broker's display name in any case."""

from __future__ import annotations

from brokers.model import InstrumentKey
from gateway.api.parts import Parts


def key_of(parts: Parts, exchange: str, symbol: str) -> InstrumentKey:
    """The key meant by a request's two words.

    A name nobody knows comes back as it was asked for: who needs the instrument says what it is like.
    """
    asked = InstrumentKey(exchange, symbol)
    if parts.instruments.by_key(asked) is not None:
        return asked
    found = parts.instruments.find(symbol, exchange)
    return asked if found is None else found.key
