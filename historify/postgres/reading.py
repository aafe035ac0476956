"""Questions to the PostgreSQL store, as SQL; what belongs to which bar is the other reader's arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import itemgetter

from psycopg import sql

from brokers.calendar import Calendar
from brokers.errors import InvalidRequest
from historify.days import day_start, shift_s, trading_date
from historify.errors import StoreError
from historify.model import DAY, MINUTE, BarRequest, Bars, CatalogRow, DayState, Series
from historify.postgres.packed import packing, unpacked
from historify.postgres.pool import Connection
from historify.reader import actions, futures, intervals
from historify.reader.actions import CorporateAction
from historify.reader.query import DECIMALS, PRICES

TABLES = {MINUTE: sql.Identifier("bars_1m"), DAY: sql.Identifier("bars_d")}
ROW_BYTES = 116
"""Of one bar with its index entry, uncompressed; the server does not count by series."""
_PIECE = sql.SQL(
    "SELECT ts, open, high, low, close, volume, oi FROM {table}"
    " WHERE series_id = {series} AND ts >= {lo} AND ts < {hi}"
)
# first and last by arrays that start with ts: no sort, and exact below 2**53
_COMPUTED = sql.SQL(
    "SELECT {bucket} AS ts, (min(ARRAY[ts, open]))[2] AS open, max(high) AS high, min(low) AS low,"
    " (max(ARRAY[ts, close]))[2] AS close, sum(volume)::bigint AS volume, (max(ARRAY[ts, oi]))[2] AS oi"
    " FROM ({bars}) AS stored GROUP BY 1 ORDER BY 1"
)
_CALENDAR_UNITS = {"M": "month", "Q": "quarter", "Y": "year"}


Actions = Callable[[str, str], Sequence[CorporateAction]]
"""Splits and bonuses of ``exchange, symbol``; they are kept with the home, not on the server."""


def bars(connection: Connection, request: BarRequest, calendar: Calendar, known: Actions | None) -> Bars:
    """Bars of one series, or of the contracts behind ``NIFTY-I``; see ``historify.reader.bars``.

    Raises:
        WrongInterval, InvalidRequest: As ``BarStore.get``.
        StoreError: An adjusted view was asked for and nobody knows of splits.
    """
    stored = intervals.stored(request.interval)
    if request.end < request.start:
        raise InvalidRequest(f"the range ends ({request.end}) before it starts ({request.start})")
    pieces = [
        _PIECE.format(
            table=TABLES[stored], series=sql.Literal(number), lo=sql.Literal(lo), hi=sql.Literal(hi)
        )
        for number, lo, hi in _pieces(connection, request, stored)
    ]
    if not pieces:
        return Bars()
    source: sql.Composable = sql.SQL(" UNION ALL ").join(pieces)
    if request.adjusted:
        source = _adjusted(connection, request, stored, known, source)
    bucket = _bucket(request, calendar)
    if bucket is None:
        query = sql.SQL("SELECT * FROM ({}) AS stored ORDER BY ts").format(source)
    else:
        query = _COMPUTED.format(bucket=bucket, bars=source)
    row = connection.execute(packing(query), binary=True).fetchone()
    assert row is not None
    return unpacked(row)


def _pieces(connection: Connection, request: BarRequest, stored: str) -> list[tuple[int, int, int]]:
    """Which stretches of which series, as ``id, lo, hi``."""
    lo, hi = intervals.span(request.interval, request.start, request.end)
    number = series_id(connection, Series(request.exchange, request.symbol, stored))
    if number is not None:
        return [(number, lo, hi)]
    chained = futures.parse(request.symbol)
    if chained is None:
        return []
    rows = connection.execute(
        "SELECT symbol, id FROM series WHERE exchange = %s AND interval = %s AND starts_with(symbol, %s)",
        (request.exchange, stored, chained[0]),
    ).fetchall()
    ids: dict[str, int] = dict(rows)
    first, last = (trading_date(ts, stored) for ts in (lo, hi - 1))
    stretches = futures.chain(ids, *chained, request.exchange, first, last)
    return [(ids[one.symbol], *intervals.span(stored, one.first, one.last)) for one in stretches]


def _adjusted(
    connection: Connection, request: BarRequest, stored: str, known: Actions | None, source: sql.Composable
) -> sql.Composable:
    """The bars with splits and bonuses applied, before anything is summed up."""
    if known is None:
        raise StoreError(
            "an adjusted view needs the home's list of splits; open the store with its control.db"
        )
    found = known(request.exchange, request.symbol)
    kept = catalog(connection, request.exchange, request.symbol)
    if not found or not kept:
        return source
    last = max(trading_date(row.last_ts, row.series.interval) for row in kept)
    factors = actions.factors(found, last, shift_s(stored))
    if not factors:
        return source
    many = _case([(one.until, one.shares.numerator) for one in factors])
    one = _case([(one.until, one.shares.denominator) for one in factors])
    # as DuckDB rounds: half up, in binary; PostgreSQL's own goes to the even one, or by decimal digits
    scale = 10**DECIMALS
    prices = ", ".join(
        f"floor({name} * {one} / {many} * {scale} + 0.5) / {scale} AS {name}" for name in PRICES
    )
    volume = f"floor(volume * {many}::float8 / {one} + 0.5)::bigint AS volume"
    return sql.SQL("SELECT ts, {}, {}, oi FROM ({}) AS unadjusted").format(
        sql.SQL(prices), sql.SQL(volume), source
    )


def _case(steps: Sequence[tuple[int, int]]) -> str:
    return "CASE " + " ".join(f"WHEN ts < {until} THEN {value}" for until, value in steps) + " ELSE 1 END"


def _bucket(request: BarRequest, calendar: Calendar) -> sql.Composable | None:
    """Start of the bar a stored one belongs to; None where the stored bars are the answer."""
    if unit := _CALENDAR_UNITS.get(request.interval):
        return sql.SQL("extract(epoch FROM date_trunc({}, to_timestamp(ts), 'UTC'))::bigint").format(
            sql.Literal(unit)
        )
    ours = intervals.bucket(request.interval, calendar, request.exchange, request.start, request.end)
    # DuckDB divides integers with //, PostgreSQL with /; the rest is the same SQL over whole numbers
    return None if ours is None else sql.SQL(ours.replace("//", "/"))


def latest(
    connection: Connection, keys: Sequence[tuple[str, str]], interval: str
) -> Mapping[tuple[str, str], Bars]:
    """The last day of each key; keys without bars are left out."""
    wanted = connection.execute(
        "SELECT s.id, s.exchange, s.symbol, s.last_ts FROM series s"
        " JOIN unnest(%s::text[], %s::text[]) AS k(exchange, symbol) USING (exchange, symbol)"
        " WHERE s.interval = %s AND s.rows > 0",
        ([key[0] for key in keys], [key[1] for key in keys], interval),
    ).fetchall()
    if not wanted:
        return {}
    froms = {number: day_start(last, interval) for number, _, _, last in wanted}
    rows = connection.execute(
        sql.SQL(
            "SELECT b.series_id, b.ts, open, high, low, close, volume, oi"
            " FROM unnest(%s::integer[], %s::bigint[]) AS k(series_id, lo)"
            " JOIN {} AS b ON b.series_id = k.series_id AND b.ts >= k.lo"
            " WHERE b.ts >= {} ORDER BY 1, 2"  # a constant as well: other months are not looked into
        ).format(TABLES[interval], sql.Literal(min(froms.values()))),
        (list(froms), list(froms.values())),
        binary=True,
    ).fetchall()
    names = {number: (exchange, symbol) for number, exchange, symbol, _ in wanted}
    return {
        names[number]: Bars.of([row[1:] for row in group]) for number, group in groupby(rows, itemgetter(0))
    }


def catalog(connection: Connection, exchange: str | None, symbol: str | None) -> list[CatalogRow]:
    rows = connection.execute(
        "SELECT exchange, symbol, interval, first_ts, last_ts, rows, updated_at, source FROM series"
        " WHERE rows > 0 AND (%(exchange)s::text IS NULL OR exchange = %(exchange)s)"
        " AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s) ORDER BY exchange, symbol, interval",
        {"exchange": exchange, "symbol": symbol},
    ).fetchall()
    return [
        CatalogRow(Series(exchange, symbol, interval), first, last, count, count * ROW_BYTES, updated, source)
        for exchange, symbol, interval, first, last, count, updated, source in rows
    ]


def coverage(connection: Connection, series: Series, start: date, end: date) -> Mapping[date, DayState]:
    number = series_id(connection, series)
    rows: Iterable[tuple[date, str]] = connection.execute(
        "SELECT day, state FROM coverage WHERE series_id = %s AND day BETWEEN %s AND %s ORDER BY day",
        (number, start, end),
    ).fetchall()
    return {day: DayState(state) for day, state in rows}


def series_id(connection: Connection, series: Series, *, lock: bool = False) -> int | None:
    row = connection.execute(
        "SELECT id FROM series WHERE exchange = %s AND symbol = %s AND interval = %s"
        + (" FOR UPDATE" if lock else ""),
        (series.exchange, series.symbol, series.interval),
    ).fetchone()
    return None if row is None else int(row[0])
