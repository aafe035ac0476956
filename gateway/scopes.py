"""What an API key may do: four words, held by the key, named by each route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from brokers.errors import InvalidRequest


class Scope(StrEnum):
    """One thing a key may be allowed. None of them includes another."""

    DATA = "data"
    READ = "read"
    TRADE = "trade"
    MANAGE = "manage"


ALL = frozenset(Scope)
SAYS: Mapping[Scope, str] = {
    Scope.DATA: "market data: quotes, depth, candles, option chains, symbols, ticks, stored bars",
    Scope.READ: "the account: orders, trades, positions, holdings, funds, margin, order pushes",
    Scope.TRADE: "orders: place, modify, cancel, close, GTT, strategy leases, panic",
    Scope.MANAGE: "the instance: downloads, imports, sandbox mode and reset, chart layouts, end of a panic",
}
"""For people who choose."""
EVERYTHING = "*"
"""How a key without limits is stored: it also has what a later version may add."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a good key gives: its id, and its scopes."""

    id: int
    scopes: frozenset[Scope] = ALL


def parsed(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names.

    Raises:
        InvalidRequest: A name is none of the four, or there is none at all.
    """
    given = list(names)
    known = ", ".join(Scope)
    if unknown := [name for name in given if name not in list(Scope)]:
        said = f"There is no scope '{unknown[0][:40]}'; there are {known}."
        raise InvalidRequest(said, fields={"scopes": [said]})
    if not given:
        said = f"A key needs at least one scope of {known}."
        raise InvalidRequest(said, fields={"scopes": [said]})
    return frozenset(Scope(name) for name in given)


def shown(scopes: Iterable[Scope]) -> list[str]:
    """Their names in the order of the table."""
    held = frozenset(scopes)
    return [scope.value for scope in Scope if scope in held]


def stored(scopes: frozenset[Scope]) -> str:
    """As the key table has them."""
    return EVERYTHING if scopes >= ALL else " ".join(shown(scopes))


def read(text: str) -> frozenset[Scope]:
    """What ``stored`` wrote. A word nobody knows gives nothing."""
    words = text.split()
    return ALL if EVERYTHING in words else frozenset(scope for scope in Scope if scope.value in words)
