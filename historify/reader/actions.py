"""Splits and bonuses: what an adjusted view multiplies by.

CSV, with a header in any order of columns::

    exchange,symbol,ex_date,kind,ratio,note
    NSE,RELIANCE,2024-10-28,bonus,1:1,
    NSE,NESTLEIND,2024-01-05,split,10:1,face value 10 to 1

``split``: old face value to new (``10:2`` makes five shares of one; ``1:10`` is a consolidation). ``bonus``:
new shares for held ones (``1:2`` makes three of two). So exchanges announce them. ``note`` may be missing.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from historify.reader.intervals import midnight

KINDS = ("split", "bonus")
COLUMNS = ("exchange", "symbol", "ex_date", "kind", "ratio")


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """One split or bonus. ``ex_date``: the first day at the new price; ``a``, ``b``: the ratio ``a:b``."""

    exchange: str
    symbol: str
    ex_date: date
    kind: str
    a: int
    b: int
    note: str = ""

    @property
    def shares(self) -> Fraction:
        """Shares that one share became."""
        return Fraction(self.a + self.b if self.kind == "bonus" else self.a, self.b)


@dataclass(frozen=True, slots=True)
class Factor:
    """Before ``until`` (epoch seconds) prices are divided and volumes multiplied by ``shares``."""

    until: int
    shares: Fraction


def parse(lines: Iterable[str]) -> tuple[list[CorporateAction], list[str]]:
    """The actions of a CSV file, and one message for each line that is none; see the module's text."""
    reader = csv.DictReader(lines, skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        return [], [f"line 1: no column {', '.join(missing)}; expected {','.join(COLUMNS)}"]
    reader.fieldnames = names
    found: dict[tuple[str, str, date, str], CorporateAction] = {}
    errors = []
    for row in reader:
        try:
            action = _action({name: (row.get(name) or "").strip() for name in (*COLUMNS, "note")})
        except ValueError as exc:
            errors.append(f"line {reader.line_num}: {exc}")
        else:
            found[action.exchange, action.symbol, action.ex_date, action.kind] = action
    return list(found.values()), errors


def _action(row: dict[str, str]) -> CorporateAction:
    if not row["exchange"] or not row["symbol"]:
        raise ValueError("exchange and symbol must not be empty")
    kind = row["kind"].lower()
    if kind not in KINDS:
        raise ValueError(f"kind is {row['kind']!r}, expected {' or '.join(KINDS)}")
    try:
        on = date.fromisoformat(row["ex_date"])
    except ValueError:
        raise ValueError(f"ex_date is {row['ex_date']!r}, expected YYYY-MM-DD") from None
    a, colon, b = row["ratio"].partition(":")
    if not (colon and a.strip().isdecimal() and b.strip().isdecimal() and int(a) and int(b)):
        raise ValueError(f"ratio is {row['ratio']!r}, expected two whole numbers such as 1:2")
    return CorporateAction(row["exchange"], row["symbol"], on, kind, int(a), int(b), row["note"])


def save(connection: sqlite3.Connection, actions: Iterable[CorporateAction], now_s: int) -> int:
    """Insert or replace them, inside the caller's transaction; returns how many."""
    rows = [(a.exchange, a.symbol, a.ex_date.isoformat(), a.kind, a.a, a.b, a.note, now_s) for a in actions]
    connection.executemany("INSERT OR REPLACE INTO corporate_action VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return len(rows)


def load(
    connection: sqlite3.Connection, exchange: str | None = None, symbol: str | None = None
) -> list[CorporateAction]:
    """Stored actions by date; of everything, one exchange or one symbol."""
    rows = connection.execute(
        "SELECT exchange, symbol, ex_date, kind, a, b, note FROM corporate_action "
        "WHERE (?1 IS NULL OR exchange = ?1) AND (?2 IS NULL OR symbol = ?2) ORDER BY ex_date, kind",
        (exchange, symbol),
    )
    return [CorporateAction(e, s, date.fromisoformat(on), kind, a, b, n) for e, s, on, kind, a, b, n in rows]


def factors(actions: Sequence[CorporateAction], last: date, shift_s: int) -> list[Factor]:
    """What bars before each ex-date are divided by, ascending; all later actions are in it.

    Args:
        last: The last day there are bars of: an action announced for after it has not happened yet.
        shift_s: Seconds a trading day starts before 00:00 UTC (19,800 at ``1m``, 0 at ``D``).
    """
    shares = Fraction(1)
    made: dict[int, Fraction] = {}
    for action in sorted(actions, key=lambda a: a.ex_date, reverse=True):
        if action.ex_date <= last:
            shares *= action.shares
            made[midnight(action.ex_date) - shift_s] = shares  # two on one day: the second holds both
    return [Factor(until, made[until]) for until in sorted(made)]
