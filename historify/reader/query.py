"""SQL texts over Parquet files. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from historify.reader.actions import Factor

VALUES = "ts, open, high, low, close, volume, oi"
PRICES = ("open", "high", "low", "close")
DECIMALS = 4
"""Of an adjusted price: one of paise, cut in five, needs no more than these."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bars with ``lo <= ts < hi`` of absolute ``paths``, which are ascending and do not overlap."""

    paths: tuple[str, ...]
    lo: int
    hi: int


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def listed(paths: Sequence[str]) -> str:
    """A SQL list of file names."""
    return "[" + ", ".join(map(quoted, paths)) + "]"


def scan(paths: Sequence[str]) -> str:
    """The files as a table; a folder called ``symbol=…`` adds no column."""
    return f"read_parquet({listed(paths)}, hive_partitioning = false)"


def bars(parts: Sequence[Part], bucket: str | None, factors: Sequence[Factor] = ()) -> str:
    """Bars of the parts, ascending.

    Args:
        bucket: SQL over ``ts`` for the start of the bar each row belongs to; None keeps the rows.
        factors: Splits and bonuses to apply before anything is summed up.
    """
    source = " UNION ALL ".join(
        f"SELECT {VALUES} FROM {scan(part.paths)} WHERE ts >= {part.lo} AND ts < {part.hi}" for part in parts
    )
    if factors:
        source = f"SELECT {_adjusted(factors)} FROM ({source})"
    if bucket is None:
        return source  # in the order of parts and files, which DuckDB keeps; a sort would cost a third more
    return (
        f"SELECT {bucket} AS bar, arg_min(open, ts), max(high), min(low), arg_max(close, ts), "
        f"CAST(sum(volume) AS BIGINT), arg_max(oi, ts) FROM ({source}) GROUP BY bar ORDER BY bar"
    )


def since(paths: Sequence[str], lo: int) -> str:
    """Bars from ``lo`` on with the number of their file in ``paths``, file by file."""
    return f"SELECT {VALUES}, CAST(file_index AS BIGINT) FROM {scan(paths)} WHERE ts >= {lo}"


def _adjusted(factors: Sequence[Factor]) -> str:
    shares = (
        _case([(f.until, f.shares.numerator) for f in factors]),
        _case([(f.until, f.shares.denominator) for f in factors]),
    )
    many, one = shares
    prices = ", ".join(f"round({name} * {one} / {many}, {DECIMALS}) AS {name}" for name in PRICES)
    volume = f"CAST(round(volume * CAST({many} AS DOUBLE) / {one}) AS BIGINT) AS volume"
    return f"ts, {prices}, {volume}, oi"


def _case(steps: Sequence[tuple[int, int]]) -> str:
    return "CASE " + " ".join(f"WHEN ts < {until} THEN {value}" for until, value in steps) + " ELSE 1 END"
