"""Which symbols did a person mean? Pure: text and candidates in, the likeliest out.

A mistyped contract is answered by its terms (date, strike, type), not by its letters: ``NIFTY24NOV2624010CE``
is one digit from many contracts and 10 rupees from the right one.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH = "|".join(_MONTHS)
# OpenAlgo: ROOT DDMMMYY (FUT | STRIKE CE|PE)
_SYMBOL = re.compile(
    rf"^(?P<root>.+?)(?P<day>\d\d)(?P<month>{_MONTH})(?P<year>\d\d)"
    r"(?:(?P<future>FUT)|(?P<strike>\d+(?:\.\d+)?)(?P<kind>CE|PE))$"
)
# brokers' display names without their blanks: ICICIGI 28 OCT 1860 CALL, NIFTY OCT FUT
_DISPLAY = re.compile(
    rf"^(?P<root>.+?)(?P<day>\d{{1,2}})?(?P<month>{_MONTH})(?P<year>(?!))?"
    r"(?:(?P<future>FUT)|(?P<strike>\d+(?:\.\d+)?)(?P<kind>CALL|PUT|CE|PE))$"
)
_ROOT = re.compile(r"^[A-Z&-]+")
_KINDS = {"CALL": "CE", "PUT": "PE"}


@dataclass(frozen=True, slots=True)
class Contract:
    """The terms a text names; None where it does not say."""

    root: str
    day: int | None = None
    month: int | None = None
    year: int | None = None
    strike: float | None = None
    kind: str | None = None


def parse(text: str) -> Contract:
    """Terms of a contract from upper-case text without blanks; the root alone when it names nothing else."""
    match = _SYMBOL.match(text) or _DISPLAY.match(text)
    if match is None:
        root = _ROOT.match(text)
        return Contract(root.group() if root else text)
    kind = "FUT" if match["future"] else match["kind"]
    return Contract(
        root=match["root"],
        day=int(match["day"]) if match["day"] else None,
        month=_MONTHS.index(match["month"]) + 1,
        year=2000 + int(match["year"]) if match["year"] else None,
        strike=float(match["strike"]) if match["strike"] else None,
        kind=_KINDS.get(kind, kind),
    )


def distance(wanted: Contract, expiry: date, strike: float, kind: str) -> tuple[int, int, float]:
    """How far a contract is from the terms wanted; smaller is nearer. Type first, then days, then rupees."""
    days = 0
    if wanted.month is not None:
        # a name without a day means any day of the month, without a year any year
        days = (wanted.month - expiry.month) * 31
        if wanted.year is not None:
            days += (wanted.year - expiry.year) * 372
        if wanted.day is not None:
            days += wanted.day - expiry.day
    rupees = abs(wanted.strike - strike) if wanted.strike is not None else 0.0
    return int(wanted.kind is not None and wanted.kind != kind), abs(days), rupees


def closest(wanted: str, candidates: Iterable[str], n: int) -> list[str]:
    """The ``n`` candidates whose letters are most like ``wanted``, best first."""
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    best: list[tuple[float, str]] = []
    for candidate in candidates:
        matcher.set_seq1(candidate)
        worst = best[0][0] if len(best) == n else 0.0
        # two cheap upper bounds before the real comparison
        if matcher.real_quick_ratio() < worst or matcher.quick_ratio() < worst:
            continue
        entry = (matcher.ratio(), candidate)
        if len(best) < n:
            heapq.heappush(best, entry)
        else:
            heapq.heappushpop(best, entry)
    return [candidate for _, candidate in sorted(best, key=lambda e: (-e[0], e[1]))]
