"""Candles as a pandas, polars or Arrow table: what a notebook wants.

Neither pandas nor polars is needed to run the product; ``pip install pandas`` (or polars) beside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from brokers.calendar import FileCalendar
from brokers.errors import InvalidRequest, NotSupported
from historify.contract import BarStore
from historify.model import LONG, BarRequest, Bars
from historify.portable.exporting import COLUMNS, table
from historify.store import open_store

IST = "Asia/Kolkata"


def frame(
    store: BarStore | str | Path,
    exchange: str,
    symbol: str,
    interval: str,
    start: date | str,
    end: date | str,
    *,
    adjusted: bool = False,
    kind: str = "pandas",
) -> Any:
    """Bars of one instrument as a table.

    Args:
        store: An open one, or where it is (``db/historify.duckdb``, ``postgresql://…``). Reading needs no
            running process and takes no lock.
        interval: ``1m`` … ``4h``, ``D``, ``W``, ``M``, ``Q``, ``Y``; all but 1m and D are computed.
        start, end: Trading days, both inclusive; ``YYYY-MM-DD`` or a date.
        adjusted: For the splits and bonuses that were imported.
        kind: ``pandas``, ``polars`` or ``arrow``.

    Returns:
        ``pandas``: a DataFrame indexed by ``timestamp``: aware IST within a day, naive dates from D on, as
        the OpenAlgo SDK has them; columns open, high, low, close, volume, oi. ``polars``: the same with
        ``timestamp`` as a column. ``arrow``: a table with the ten columns of ``market_data``.
        Without bars: an empty one.

    Raises:
        NotSupported: The library is not installed; says how to get it.
        InvalidRequest: Dates that are none, or reversed; an unknown ``kind``.
        WrongInterval, StoreError: As ``BarStore.get``.
    """
    make = _KINDS.get(kind)
    if make is None:
        raise InvalidRequest(f"kind is '{kind}', expected one of {', '.join(_KINDS)}")
    library = _library(kind)
    request = BarRequest(exchange, symbol, interval, _day("start", start), _day("end", end), adjusted)
    if request.start > request.end:
        raise InvalidRequest(f"start {request.start} is after end {request.end}")
    if isinstance(store, str | Path):
        opened = open_store(store, calendar=FileCalendar())
        try:
            return make(library, request, opened.get(request))
        finally:
            opened.close()
    return make(library, request, store.get(request))


def _pandas(pandas: Any, request: BarRequest, bars: Bars) -> Any:
    found = _numbers(request, bars).to_pandas()
    stamps = pandas.to_datetime(found.pop("timestamp"), unit="s")
    index = pandas.DatetimeIndex(stamps, name="timestamp")
    if request.interval not in LONG:
        index = index.tz_localize("UTC").tz_convert(IST)
    return found.set_index(index)


def _polars(polars: Any, request: BarRequest, bars: Bars) -> Any:
    found = polars.from_arrow(_numbers(request, bars))
    stamps = polars.from_epoch("timestamp", "s")
    if request.interval not in LONG:
        stamps = stamps.dt.replace_time_zone("UTC").dt.convert_time_zone(IST)
    return found.with_columns(stamps)


def _arrow(arrow: Any, request: BarRequest, bars: Bars) -> Any:
    return table(arrow, request, bars)


def _numbers(request: BarRequest, bars: Bars) -> Any:
    """The table without the columns that say the same in every row."""
    return table(importlib.import_module("pyarrow"), request, bars).select(list(COLUMNS[3:]))


_KINDS: Mapping[str, Callable[[Any, BarRequest, Bars], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "arrow": _arrow,
}


def _library(kind: str) -> Any:
    try:
        return importlib.import_module("pyarrow" if kind == "arrow" else kind)
    except ImportError as exc:
        raise NotSupported(f"{kind} is not installed here; get it with: pip install {kind}") from exc


def _day(name: str, value: date | str) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError as exc:
        raise InvalidRequest(f"{name} is '{value}', expected YYYY-MM-DD") from exc
