"""Tables of the PostgreSQL store: minute bars in months, daily bars in one table.

With TimescaleDB created in the database, minute bars are a hypertable that compresses itself; without it
they are declaratively partitioned, a table a month, made when its first bar comes. Which of the two is
decided once, when the tables are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from psycopg import sql

from historify.days import DAY_S
from historify.errors import StoreError
from historify.postgres.address import Address
from historify.postgres.pool import Connection

NAME, VERSION = "algo-historify", 1
TIMESCALE, PARTITIONS = "timescale", "partitions"
CHUNK_DAYS = 30
LOCK_KEY = 0x616C676F
"""Advisory lock ("algo") under which tables are made and dropped."""

_BAR = """(
    series_id integer NOT NULL, ts bigint NOT NULL,
    open double precision NOT NULL, high double precision NOT NULL, low double precision NOT NULL,
    close double precision NOT NULL, volume bigint NOT NULL, oi bigint NOT NULL,
    PRIMARY KEY (series_id, ts)
)"""
_TABLES = f"""
CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE fence (id integer PRIMARY KEY CHECK (id = 1), writer text NOT NULL, epoch bigint NOT NULL,
    seen_at timestamptz NOT NULL);
CREATE TABLE series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text COLLATE "C" NOT NULL, symbol text COLLATE "C" NOT NULL, interval text COLLATE "C" NOT NULL,
    first_ts bigint, last_ts bigint, rows bigint NOT NULL DEFAULT 0,
    updated_at bigint NOT NULL DEFAULT 0, source text NOT NULL DEFAULT '',
    UNIQUE (exchange, symbol, interval)
);
CREATE TABLE coverage (series_id integer NOT NULL, day date NOT NULL, state text NOT NULL,
    PRIMARY KEY (series_id, day));
CREATE TABLE ingest (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_id integer NOT NULL, source text NOT NULL, at bigint NOT NULL, job bigint, note text NOT NULL,
    lo bigint, hi bigint, rows bigint NOT NULL, added bigint NOT NULL, changed bigint NOT NULL,
    epoch bigint NOT NULL
);
CREATE INDEX ingest_series ON ingest (series_id);
CREATE TABLE bars_d {_BAR};
"""
_VIEW = """
CREATE VIEW market_data AS
SELECT s.symbol, s.exchange, s.interval, b.ts AS timestamp, b.open, b.high, b.low, b.close, b.volume, b.oi
FROM series s JOIN (SELECT * FROM bars_1m UNION ALL SELECT * FROM bars_d) b ON b.series_id = s.id
"""


def prepare(connection: Connection, address: Address) -> str:
    """Make the tables or check those that are there; answers ``TIMESCALE`` or ``PARTITIONS``.

    Raises:
        StoreError: The schema holds another program's tables, or a newer version's.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        # asked first: CREATE SCHEMA IF NOT EXISTS needs the right to create even where it exists
        if not _one(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", address.schema):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
        tables = _one(
            connection,
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v')",
            address.schema,
        )
        if not tables:
            return _make(connection, address)
        return _checked(connection, address)


def ensure_months(connection: Connection, months: Iterable[date]) -> None:
    """The partitions of these months (first days), each attached without stopping readers."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        for month in months:
            name = f"bars_1m_{month:%Y_%m}"
            if _one(connection, "SELECT count(*) FROM pg_class WHERE oid = to_regclass(%s)", name):
                continue
            table = sql.Identifier(name)
            # made alone and attached after: CREATE … PARTITION OF would wait for every reader of the parent
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE bars_1m INCLUDING ALL)").format(table))
            connection.execute(
                sql.SQL("ALTER TABLE bars_1m ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    table, sql.Literal(epoch_s(month)), sql.Literal(epoch_s(next_month(month)))
                )
            )


def months_of(first_ts: int, last_ts: int) -> list[date]:
    """First days of the UTC months from one bar to another."""
    month = datetime.fromtimestamp(first_ts, UTC).date().replace(day=1)
    last = datetime.fromtimestamp(last_ts, UTC).date()
    found = []
    while month <= last:
        found.append(month)
        month = next_month(month)
    return found


def old_months(connection: Connection, before: date) -> list[str]:
    """Partitions that end on or before a day."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'bars_1m'::regclass ORDER BY 1"
    ).fetchall()
    ends = {
        name: next_month(datetime.strptime(name, "bars_1m_%Y_%m").replace(tzinfo=UTC).date())
        for (name,) in rows
    }
    return [name for name, end in ends.items() if end <= before]


def _make(connection: Connection, address: Address) -> str:
    layout = TIMESCALE if _has_timescale(connection) else PARTITIONS
    connection.execute(_TABLES)
    if layout == TIMESCALE:
        connection.execute(f"CREATE TABLE bars_1m {_BAR}")
        _hypertable(connection, address)
    else:
        connection.execute(f"CREATE TABLE bars_1m {_BAR} PARTITION BY RANGE (ts)")
    connection.execute(_VIEW)
    for name, value in (("schema", NAME), ("version", str(VERSION)), ("layout", layout)):
        connection.execute("INSERT INTO meta VALUES (%s, %s)", (name, value))
    return layout


def _checked(connection: Connection, address: Address) -> str:
    if not _one(connection, "SELECT count(*) FROM pg_class WHERE oid = to_regclass('meta')"):
        raise StoreError(
            f"{address.shown}: schema {address.schema} holds another program's tables; name another"
        )
    known: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if known.get("schema") != NAME:
        raise StoreError(
            f"{address.shown}: schema {address.schema} holds another program's tables; name another"
        )
    version = int(known.get("version", "0"))
    if version > VERSION:
        raise StoreError(
            f"{address.shown}: a newer algo made these tables (version {version}, this one reads {VERSION}); "
            "upgrade this one"
        )
    return str(known["layout"])


def _has_timescale(connection: Connection) -> bool:
    return bool(_one(connection, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))


def _hypertable(connection: Connection, address: Address) -> None:
    """Chunks of 30 days, compressed by series once old, dropped past retention."""
    home = _one(
        connection,
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE extname = 'timescaledb'",
    )
    at = sql.Identifier(str(home))
    table = f"{address.schema}.bars_1m"
    connection.execute(
        "CREATE FUNCTION now_s() RETURNS bigint LANGUAGE sql STABLE AS"
        " $$ SELECT extract(epoch FROM now())::bigint $$"
    )
    for call, values in (
        ("{}.create_hypertable({}::regclass, {}, chunk_time_interval => {}::bigint,"
         " create_default_indexes => false)", (table, "ts", CHUNK_DAYS * DAY_S)),
        ("{}.set_integer_now_func({}::regclass, {}::regproc)", (table, f"{address.schema}.now_s")),
    ):  # fmt: skip
        _call(connection, call, at, *values)
    connection.execute(
        "ALTER TABLE bars_1m SET (timescaledb.compress, timescaledb.compress_segmentby = 'series_id',"
        " timescaledb.compress_orderby = 'ts')"
    )
    _call(connection, "{}.add_compression_policy({}::regclass, {}::bigint)", at, table,
          address.compress_after_days * DAY_S)  # fmt: skip
    if address.retain_days is not None:
        _call(connection, "{}.add_retention_policy({}::regclass, {}::bigint)", at, table,
              address.retain_days * DAY_S)  # fmt: skip


def _call(connection: Connection, call: str, at: sql.Identifier, *values: str | int) -> None:
    connection.execute(sql.SQL("SELECT " + call).format(at, *map(sql.Literal, values)))


def _one(connection: Connection, query: str, *values: object) -> object:
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]


def epoch_s(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
