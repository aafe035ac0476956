"""One batch into the PostgreSQL store: streamed into a temporary table, then switched in under the fence."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from historify.days import day_bounds
from historify.model import MINUTE, Bars, DayState, Provenance, PutReport, Series
from historify.postgres import schema
from historify.postgres.fence import admit, seen
from historify.postgres.packed import copied
from historify.postgres.pool import Connection
from historify.postgres.reading import TABLES, series_id

_INCOMING = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
    ts bigint NOT NULL, open double precision NOT NULL, high double precision NOT NULL,
    low double precision NOT NULL, close double precision NOT NULL, volume bigint NOT NULL, oi bigint NOT NULL
) ON COMMIT DELETE ROWS
"""
# equal rows are left out before the upsert: ON CONFLICT would lock, and so write, every one of them
_UPSERT = sql.SQL("""
WITH touched AS (
    SELECT i.*, o.ts IS NULL AS new
    FROM incoming i LEFT JOIN {table} AS o ON o.series_id = {series} AND o.ts = i.ts
        AND o.ts BETWEEN {first} AND {last}
    WHERE o.ts IS NULL
        OR (o.open, o.high, o.low, o.close, o.volume, o.oi)
            IS DISTINCT FROM (i.open, i.high, i.low, i.close, i.volume, i.oi)
), upserted AS (
    INSERT INTO {table} (series_id, ts, open, high, low, close, volume, oi)
    SELECT {series}, ts, open, high, low, close, volume, oi FROM touched ORDER BY ts
    ON CONFLICT (series_id, ts) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
        close = excluded.close, volume = excluded.volume, oi = excluded.oi
)
SELECT count(*) FILTER (WHERE new), count(*) FILTER (WHERE NOT new) FROM touched
""")


def put(
    connection: Connection,
    series: Series,
    bars: Bars,
    writer: str,
    epoch: int,
    provenance: Provenance,
    covered: Mapping[date, DayState],
) -> PutReport:
    """All of the batch or nothing; see ``BarStore.put``. Bars are checked, ascending and unique."""
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit TO on")
        if len(bars):
            _stream(connection, bars)
        admit(connection, writer, epoch)
        number = _numbered(connection, series)
        added, changed = _switch(connection, series, number, bars) if len(bars) else (0, 0)
        if added or changed:
            connection.execute(
                "UPDATE series SET first_ts = least(first_ts, %s), last_ts = greatest(last_ts, %s),"
                " rows = rows + %s, updated_at = %s, source = %s WHERE id = %s",
                (bars.ts[0], bars.ts[-1], added, provenance.at_s, provenance.source, number),
            )
        _cover(connection, number, covered)
        bounds = (bars.ts[0], bars.ts[-1]) if len(bars) else (None, None)
        connection.execute(
            "INSERT INTO ingest(series_id, source, at, job, note, lo, hi, rows, added, changed, epoch)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                number, provenance.source, provenance.at_s, provenance.job, provenance.note, *bounds,
                len(bars), added, changed, epoch,
            ),
        )  # fmt: skip
    seen(connection)
    return PutReport(len(bars), added, changed)


def delete(
    connection: Connection, series: Series, writer: str, epoch: int, start: date | None, end: date | None
) -> int:
    """Bars and coverage of days start..end; the catalog follows in the same transaction."""
    first, last = start or date(1970, 1, 2), end or date(2200, 1, 1)
    lo, hi = day_bounds(series.interval, first, last)
    with connection.transaction():
        admit(connection, writer, epoch)
        number = series_id(connection, series, lock=True)
        if number is None:
            return 0
        table = TABLES[series.interval]
        removed = connection.execute(
            sql.SQL("DELETE FROM {} WHERE series_id = %s AND ts >= %s AND ts < %s").format(table),
            (number, lo, hi),
        ).rowcount
        connection.execute(
            "DELETE FROM coverage WHERE series_id = %s AND day BETWEEN %s AND %s", (number, first, last)
        )
        recount(connection, series.interval, number)
    return removed


def recount(connection: Connection, interval: str, number: int) -> None:
    """Bring the catalog in line with the bars after some went."""
    connection.execute(
        sql.SQL(
            "UPDATE series SET (first_ts, last_ts, rows) ="
            " (SELECT min(ts), max(ts), count(*) FROM {} WHERE series_id = {id}) WHERE id = {id}"
        ).format(TABLES[interval], id=sql.Literal(number))
    )


def retain(connection: Connection, before: date) -> list[str]:
    """Drop the months of minute bars that end on or before a day; answers the tables dropped.

    Coverage of those days stays: they were asked, and are not to be pulled again.
    """
    gone = schema.old_months(connection, before)
    for name in gone:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (schema.LOCK_KEY,))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    if gone:
        lo = schema.epoch_s(before)
        stale = connection.execute(
            "SELECT id FROM series WHERE interval = %s AND first_ts < %s", (MINUTE, lo)
        ).fetchall()
        for (number,) in stale:
            recount(connection, MINUTE, number)
    return gone


def months(bars: Bars) -> list[date]:
    """UTC months that these bars fall into."""
    found = []
    for month in schema.months_of(bars.ts[0], bars.ts[-1]):
        low = bisect_left(bars.ts, schema.epoch_s(month))
        if low < len(bars) and bars.ts[low] < schema.epoch_s(schema.next_month(month)):
            found.append(month)
    return found


def days_ago(days: int, now_s: float) -> date:
    return datetime.fromtimestamp(now_s, UTC).date() - timedelta(days=days)


def _stream(connection: Connection, bars: Bars) -> None:
    connection.execute(_INCOMING)
    with connection.cursor().copy("COPY incoming FROM STDIN (FORMAT binary)") as into:
        for piece in copied(bars):
            into.write(piece)


def _numbered(connection: Connection, series: Series) -> int:
    """The series' id, its row locked until the end of the transaction."""
    if (number := series_id(connection, series, lock=True)) is not None:
        return number
    connection.execute(
        "INSERT INTO series(exchange, symbol, interval) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (series.exchange, series.symbol, series.interval),
    )
    number = series_id(connection, series, lock=True)
    assert number is not None
    return number


def _switch(connection: Connection, series: Series, number: int, bars: Bars) -> tuple[int, int]:
    """Upsert ``incoming``; how many bars were added and how many changed."""
    row = connection.execute(
        _UPSERT.format(
            table=TABLES[series.interval],
            series=sql.Literal(number),
            first=sql.Literal(bars.ts[0]),
            last=sql.Literal(bars.ts[-1]),
        )
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _cover(connection: Connection, number: int, days: Mapping[date, DayState]) -> None:
    """Note what was asked; a day once complete stays so."""
    if days:
        connection.execute(
            "INSERT INTO coverage(series_id, day, state) SELECT %s, * FROM unnest(%s::date[], %s::text[])"
            " ON CONFLICT (series_id, day) DO UPDATE SET state = excluded.state WHERE coverage.state <> %s",
            (number, list(days), [str(state) for state in days.values()], str(DayState.FULL)),
        )
