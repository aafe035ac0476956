"""Symbols as people write them -> instruments. Runs in a worker thread: the table is on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from brokers.errors import AlgoError, InvalidRequest
from brokers.model import Exchange, Instrument, InstrumentKey
from gateway.stream.protocol import Item
from gateway.stream.topics import Name, split_levels


class Table(Protocol):
    """What is asked of the instrument table."""

    def by_key(self, key: InstrumentKey) -> Instrument | None: ...

    def find(self, text: str, exchange: str | None = None) -> Instrument | None: ...

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]: ...

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None: ...

    def rows(self, exchange: str | None = None) -> Iterator[Instrument]: ...

    def count(self) -> int: ...


Found = tuple[Name, Instrument]


def resolve(table: Table, item: Item) -> Found:
    """The channel an item means: canonical symbol, depth suffix kept.

    A number that is no symbol is the broker's token of that exchange.

    Raises:
        InvalidRequest: Unknown or expired; the message names the nearest three symbols.
    """
    if item.exchange not in Exchange.__members__:
        raise InvalidRequest(f"Unknown exchange '{item.exchange}'. Known: {', '.join(Exchange)}")
    base, levels = split_levels(item.symbol)
    instrument = table.by_key(InstrumentKey(item.exchange, base)) or table.find(base, item.exchange)
    if instrument is None and base.isascii() and base.isdigit():
        instrument = _by_token(table, item.exchange, base)
    # a symbol of another exchange that only looks alike is not what was asked for
    if instrument is None or instrument.key.exchange != item.exchange:
        raise InvalidRequest(_unknown(table, item.exchange, base), code="SYMBOL_NOT_FOUND")
    if instrument.expired:
        raise InvalidRequest(f"{instrument.key} expired on {instrument.expiry}", code="SYMBOL_NOT_FOUND")
    shown = instrument.key.symbol if levels is None else f"{instrument.key.symbol}:{levels}"
    return Name(item.exchange, shown, item.mode), instrument


def _by_token(table: Table, exchange: str, token: str) -> Instrument | None:
    """A token is unique only inside one of the broker's segments; the rows of an exchange share theirs."""
    any_row = next(iter(table.rows(exchange)), None)
    found = table.by_token(any_row.broker_exchange, token) if any_row is not None else None
    return found if found is not None and found.key.exchange == exchange else None


def resolve_all(table: Table | None, items: Iterable[Item]) -> list[Found | AlgoError]:
    """``resolve`` for each item, in order, the error in place of what could not be found."""
    found: list[Found | AlgoError] = []
    for item in items:
        try:
            if table is None:
                raise InvalidRequest(_NO_TABLE, code="SYMBOL_NOT_FOUND")
            found.append(resolve(table, item))
        except AlgoError as exc:
            found.append(exc)
    return found


_NO_TABLE = "The instrument table has not been loaded yet; it is fetched after the first broker login"


def _unknown(table: Table, exchange: str, symbol: str) -> str:
    near = table.nearest(symbol, exchange, 3)
    if near:
        return f"Symbol '{symbol}' not found for exchange '{exchange}'. Nearest: {', '.join(near)}"
    if table.count() == 0:
        return _NO_TABLE
    return f"Symbol '{symbol}' not found for exchange '{exchange}'"
