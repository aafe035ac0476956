"""Continuous futures: ``NIFTY-I`` (front), ``-II``, ``-III``, rolled when the contract expires. Pure.

The names are the ones Indian data vendors use. Prices are the contracts' own: no gap is smoothed at a roll.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

RANKS = {"I": 0, "II": 1, "III": 2}
MONTHLY = frozenset({"NFO", "BFO"})

_CONTINUOUS = re.compile(r"(?P<root>.+)-(?P<rank>I{1,3})")
_CONTRACT = re.compile(r"(?P<root>.+?)(?P<expiry>\d{2}[A-Z]{3}\d{2})FUT")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days on which one contract is the one; both inclusive."""

    symbol: str
    first: date
    last: date


def parse(symbol: str) -> tuple[str, int] | None:
    """Root and rank (0 is the front) of a continuous symbol; None for any other."""
    match = _CONTINUOUS.fullmatch(symbol)
    return (match["root"], RANKS[match["rank"]]) if match else None


def expiry(symbol: str, root: str) -> date | None:
    """Expiry of ``NIFTY26NOV26FUT`` if it is a future of ``root``."""
    match = _CONTRACT.fullmatch(symbol)
    if not match or match["root"] != root:
        return None
    try:
        return datetime.strptime(match["expiry"].title(), "%d%b%y").date()  # noqa: DTZ007 - a date, no time
    except ValueError:
        return None


def chain(
    symbols: Iterable[str], root: str, rank: int, exchange: str, start: date, end: date
) -> list[Stretch]:
    """Which stored contract stands for ``root-I`` (``-II``, ``-III``) on the days start..end.

    A contract is the front one up to and on its expiry day. On exchanges with monthly contracts a month whose
    contract is not stored stays a gap: the next one is never passed off as it.
    """
    contracts = sorted((day, symbol) for symbol in symbols if (day := expiry(symbol, root)))
    monthly = exchange in MONTHLY
    stretches = []
    for number, (expires, _) in enumerate(contracts):
        first = max(start, _begins(contracts, number, monthly))
        last = min(expires, end)
        if first > last or number + rank >= len(contracts):
            continue
        there, symbol = contracts[number + rank]
        if monthly and _month(there) != _month(expires) + rank:
            continue
        stretches.append(Stretch(symbol, first, last))
    return stretches


def _begins(contracts: Sequence[tuple[date, str]], number: int, monthly: bool) -> date:
    """The first day on which a contract is surely the front one."""
    expires = contracts[number][0]
    previous = contracts[number - 1][0] if number else None
    if monthly and (previous is None or _month(previous) != _month(expires) - 1):
        return expires.replace(day=1)  # the one before it, not stored, expired in the month before
    return previous + timedelta(days=1) if previous else date.min


def _month(day: date) -> int:
    return day.year * 12 + day.month
