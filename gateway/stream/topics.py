"""Topics of the ZeroMQ bus <-> (exchange, symbol, mode). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from brokers.model import Exchange, InstrumentKey, Mode

_MODES = {mode.name: mode for mode in Mode}
# longest first: NSE_INDEX_NIFTY_LTP is the index NIFTY, not a share called INDEX_NIFTY
_EXCHANGES = sorted((e.value for e in Exchange), key=len, reverse=True)
_LEVELS = re.compile(r"^(.+):(\d{1,3})$")
DEPTH_LEVELS = 5
"""Levels of a depth tick unless a broker's feed serves more; what an acknowledgement reports as used."""


class Name(NamedTuple):
    """What a consumer subscribes to; the symbol is the one shown to it (``TCS:20`` keeps its suffix)."""

    exchange: str
    symbol: str
    mode: Mode


def topic(name: Name) -> str:
    """``EXCHANGE_SYMBOL_MODE``, e.g. ``NSE_INDEX_NIFTY_LTP``.

    Raises:
        ValueError: The topic would be read as another instrument (an NSE symbol that starts with ``INDEX_``).

    Source: openalgo-api section 5, "Tick topic".
    """
    text = f"{name.exchange}_{name.symbol}_{name.mode.name}"
    if parse(text) != name:
        raise ValueError(f"{name.exchange}:{name.symbol} has no topic of its own")
    return text


def parse(text: str) -> Name | None:
    """The name a full topic stands for; None for a prefix (``NSE_``, ``NSE_SBIN``) or anything else.

    Source: openalgo-api section 5, "Parsing": mode is the last part, exchange the first (two for
    ``*_INDEX``), the symbol is the rest and may contain ``_``, ``&``, ``-`` and ``:20``.
    """
    rest, _, mode = text.rpartition("_")
    if mode not in _MODES:
        return None
    for exchange in _EXCHANGES:
        if rest.startswith(exchange + "_"):
            symbol = rest[len(exchange) + 1 :]
            return Name(exchange, symbol, _MODES[mode]) if symbol else None
    return None


def split_levels(symbol: str) -> tuple[str, int | None]:
    """``TCS:20`` -> (``TCS``, 20): the instrument's symbol and the depth levels asked for, if any."""
    match = _LEVELS.match(symbol)
    return (match[1], int(match[2])) if match else (symbol, None)


def pin(text: str) -> InstrumentKey:
    """One entry of ``SYMBOLS``: ``NFO:NIFTY28MAR2420800CE``; a bare symbol means NSE (``TCS:20`` is bare)."""
    exchange, colon, symbol = text.strip().partition(":")
    if colon and exchange.upper() in Exchange.__members__:
        return InstrumentKey(exchange.upper(), symbol.strip())
    return InstrumentKey(Exchange.NSE.value, text.strip())
