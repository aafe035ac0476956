"""Batches of bars as Arrow columns: checking and merging. Pure; loads pyarrow."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from historify.days import DAY_S
from historify.errors import BadBars, WrongInterval
from historify.model import MINUTE, STORED, Bars, Series

VALUES = pa.schema(
    [
        ("ts", pa.int64()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.int64()),
        ("oi", pa.int64()),
    ]
)
NAMES = ("symbol", "exchange", "interval")
EARLIEST = 315_532_800
"""1980: older than any Indian exchange's prices; what is below is no epoch second."""
LATEST = 4_102_444_800
"""2100: above it are milliseconds."""
LONGEST = 150
LONGEST_FOLDER = 200
"""Of the same, percent-encoded; file systems take 255 with ``symbol=`` before it."""


class Merged(NamedTuple):
    """The rows of both, by time, and how many of the batch were new or different."""

    table: pa.Table
    added: int
    changed: int


def table_of(bars: Bars) -> pa.Table:
    """The seven value columns, without a copy."""
    arrays = [
        pa.Array.from_buffers(field.type, len(bars), [None, pa.py_buffer(getattr(bars, field.name))])
        for field in VALUES
    ]
    return pa.Table.from_arrays(arrays, schema=VALUES)


def check_series(series: Series) -> None:
    """Raises ``WrongInterval`` or ``BadBars``: no bars are kept under such a name."""
    if series.interval not in STORED:
        raise WrongInterval(f"{series}: only {' and '.join(STORED)} are stored; the others are computed")
    for word in (series.exchange, series.symbol):
        too_long = len(word) > LONGEST or len(quote(word, safe="")) > LONGEST_FOLDER
        if not word or word != word.strip() or too_long or not word.isprintable():
            raise BadBars(f"{series!r}: exchange and symbol are 1 to {LONGEST} printable characters")


def checked(series: Series, bars: Bars) -> pa.Table:
    """The batch as a table, every row fit to be stored.

    Raises:
        BadBars: The first row, in time, that is not; the message names series, time and what is wrong.
        WrongInterval: ``series`` is of an interval that is not stored.
    """
    check_series(series)
    lengths = {name: len(getattr(bars, name)) for name in VALUES.names}
    if len(set(lengths.values())) > 1:
        raise BadBars(f"{series}: columns of different length: {lengths}")
    table = table_of(bars)
    step = 60 if series.interval == MINUTE else DAY_S
    ts, opens, high, low, close = (table.column(n) for n in ("ts", "open", "high", "low", "close"))
    finite = pc.is_finite(opens)
    for column in (high, low, close):
        finite = pc.and_(finite, pc.is_finite(column))
    grid = pc.multiply(pc.divide(ts, step), step)
    rules = [
        ("a time outside 1980 to 2100", pc.and_(pc.greater_equal(ts, EARLIEST), pc.less(ts, LATEST))),
        (f"a time that is no multiple of {step} s", pc.equal(ts, grid)),
        ("a price that is no finite number", finite),
        ("a high below another price", pc.greater_equal(high, pc.max_element_wise(opens, close))),
        ("a low above another price", pc.less_equal(low, pc.min_element_wise(opens, high, close))),
        ("a negative volume", pc.greater_equal(table.column("volume"), 0)),
        ("a negative open interest", pc.greater_equal(table.column("oi"), 0)),
    ]
    if len(table) > 1:
        rising = pc.less(ts.slice(0, len(table) - 1), ts.slice(1))
        rules.insert(
            0, ("a time that is not after the one before it", pa.chunked_array([[True], *rising.chunks]))
        )
    broken = [(index, why) for why, holds in rules if (index := pc.index(holds, False).as_py()) >= 0]
    if broken:
        index, why = min(broken, key=lambda found: found[0])
        raise BadBars(
            f"{series} at {_told(bars.ts[index])}: {why} ({_row(table, index)}); nothing was stored"
        )
    return table


def merged(current: pa.Table | None, batch: pa.Table) -> Merged:
    """``current`` with ``batch`` over it, by ``ts``; both ascending and unique."""
    if current is None or len(current) == 0:
        return Merged(batch, len(batch), 0)
    if pc.greater(batch.column("ts")[0], current.column("ts")[-1]).as_py():
        return Merged(pa.concat_tables([current, batch]), len(batch), 0)
    batch, whole = batch.combine_chunks(), current.combine_chunks()
    begin, end = _between(whole, batch.column("ts")[0].as_py(), batch.column("ts")[-1].as_py())
    current = whole.slice(begin, end - begin)  # only this stretch can change: the rest is not looked at
    found = pc.index_in(batch.column("ts"), value_set=current.column("ts"))
    known = pc.is_valid(found)
    old, new = current.take(pc.drop_null(found)), batch.filter(known)
    added, changed = len(batch) - len(new), _different(old, new)
    if not added and not changed:
        return Merged(whole, 0, 0)
    stay = pc.invert(pc.is_in(current.column("ts"), value_set=batch.column("ts")))
    stretch = pa.concat_tables([current.filter(stay), batch]).sort_by("ts")
    return Merged(pa.concat_tables([whole.slice(0, begin), stretch, whole.slice(end)]), added, changed)


def bars_from(table: pa.Table, lo: int) -> Bars:
    """Rows with ``lo <= ts``."""
    part = table.filter(pc.greater_equal(table.column("ts"), lo)).combine_chunks()
    columns: list[array[Any]] = []
    for field in VALUES:
        column: array[Any] = array("q" if field.type == pa.int64() else "d")
        for chunk in part.column(field.name).chunks:
            data = memoryview(chunk.buffers()[1])
            column.frombytes(data[chunk.offset * 8 : (chunk.offset + len(chunk)) * 8])
        columns.append(column)
    return Bars(*columns)


def _between(table: pa.Table, first: int, last: int) -> tuple[int, int]:
    """Rows ``begin:end`` with ``first <= ts <= last``; ``table`` ascending, in one chunk."""
    chunk = table.column("ts").chunk(0)
    ts = memoryview(chunk.buffers()[1]).cast("q")[chunk.offset : chunk.offset + len(chunk)]
    return bisect_left(ts, first), bisect_right(ts, last)


def without(table: pa.Table, lo: int, hi: int) -> pa.Table:
    """Rows that are not in ``lo <= ts < hi``."""
    ts = table.column("ts")
    return table.filter(pc.or_(pc.less(ts, lo), pc.greater_equal(ts, hi)))


def with_names(series: Series, table: pa.Table) -> pa.Table:
    """The ten columns of a file: a stray one says whose bars it holds."""
    size = len(table)
    same = pa.array([0], pa.int8()).take(pa.nulls(size, pa.int8()).fill_null(0))
    named = [
        pa.DictionaryArray.from_arrays(same, pa.array([getattr(series, name)], pa.string())) for name in NAMES
    ]
    return pa.Table.from_arrays([*named, *table.columns], names=[*NAMES, *VALUES.names])


def _different(old: pa.Table, new: pa.Table) -> int:
    if len(old) == 0:
        return 0
    differs = pc.not_equal(old.column("open"), new.column("open"))
    for name in VALUES.names[2:]:
        differs = pc.or_(differs, pc.not_equal(old.column(name), new.column(name)))
    return int(pc.sum(differs).as_py())


def _told(ts: int) -> str:
    if EARLIEST <= ts < LATEST:
        return f"{datetime.fromtimestamp(ts, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"ts {ts}"


def _row(table: pa.Table, index: int) -> str:
    return ", ".join(f"{name} {table.column(name)[index].as_py()}" for name in VALUES.names[1:])
