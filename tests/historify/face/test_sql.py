"""One SELECT over the bars, and nothing but the bars; the database is tried without its doorman as well."""

from __future__ import annotations

import duckdb
import pytest

from brokers.errors import InvalidRequest
from historify.errors import QueryLimit, StoreDamaged
from historify.face import sql
from historify.model import Series
from historify.reader.limits import Limits
from tests.historify.reader.stores import minutes

FILE_READS = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{bars}/../control.db')",
    "SELECT * FROM read_text('{bars}/../../../../../../../../etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "FROM '/etc/hosts.csv'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM glob('{bars}/../*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/tmp/x.parquet')",
    "SELECT * FROM read_parquet('s3://bucket/x')",
    "SELECT * FROM 'http://127.0.0.1:1/x.csv'",
    "SELECT * FROM query('COPY (SELECT 1) TO ''/tmp/x''')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT * FROM sqlite_scan('{bars}/../control.db', 'lease')",
    "SELECT getenv('HOME')",
    "SELECT * FROM secret",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM (COPY (SELECT 1) TO '{file}')",
    "WITH x AS (COPY (SELECT 1) TO '{file}') SELECT * FROM x",
]
OUTSIDE_WRITES = [
    "COPY (SELECT 1) TO '{bars}/../x.csv'",
    "EXPORT DATABASE '{bars}/../x'",
    "IMPORT DATABASE '{bars}/../x'",
    "ATTACH '{bars}/../x.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{file}'",
    "SET enable_external_access = true",
    "SET GLOBAL autoload_known_extensions = true",
    "SET allowed_directories = ['/']",
    "RESET lock_configuration",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{bars}/../x.csv'",
    "COPY (SELECT 1) TO '{file}' (FORMAT parquet)",
]
HARMLESS = [
    "DROP VIEW market_data",
    "CREATE TABLE x AS SELECT 1",
    "PREPARE a AS SELECT 1",
    "CALL force_checkpoint()",
    "SELECT 1; COPY (SELECT 1) TO '{file}'",
    "",
    "-- nothing",
    "SELEC 1",
]


@pytest.fixture
def segment(store):
    return store.add(Series("NSE", "SBIN", "1m"), minutes("2026-11-02", "09:15", 375))


def spell(store, segment, text):
    return text.format(bars=store.paths.bars, file=store.file(segment))


def test_a_select_is_answered(store, segment):
    answer = sql.ask(store.control, store.paths, "SELECT symbol, count(*) AS n FROM market_data GROUP BY ALL")
    assert answer == sql.Answer(("symbol", "n"), [("SBIN", 375)], False)
    assert sql.ask(store.control, store.paths, "FROM bars_1m", max_rows=10).more
    for text in (
        "DESCRIBE market_data",
        "SHOW TABLES",
        "SUMMARIZE bars_1m",
        "WITH a AS (FROM data_catalog) FROM a;",
    ):
        assert sql.ask(store.control, store.paths, text).rows


@pytest.mark.parametrize("text", [*FILE_READS, *OUTSIDE_WRITES, *HARMLESS])
def test_what_is_not_about_bars_is_refused_and_changes_nothing(store, segment, text):
    secret = "a variable of this program"  # noqa: F841 - what SQL must not see
    before = sorted(path for path in store.paths.root.parent.rglob("*.*") if "control.db" not in path.name)
    content = store.file(segment).read_bytes()
    with pytest.raises(InvalidRequest) as refused:
        sql.ask(store.control, store.paths, spell(store, segment, text))
    assert refused.value.code == "SQL_REFUSED"
    assert sorted(p for p in store.paths.root.parent.rglob("*.*") if "control.db" not in p.name) == before
    assert store.file(segment).read_bytes() == content


def test_the_locked_database_refuses_it_too(store, segment):
    content = store.file(segment).read_bytes()
    allowed = []
    with sql.open_locked(store.control, store.paths, sql.LIMITS) as connection:
        for text in (*FILE_READS, *OUTSIDE_WRITES):
            try:
                allowed.append((text, connection.execute(spell(store, segment, text)).fetchall()))
            except duckdb.Error:
                assert store.file(segment).read_bytes() == content, text
    assert allowed == []


def test_a_question_without_end_is_stopped(store, segment):
    with pytest.raises(QueryLimit):
        sql.ask(
            store.control,
            store.paths,
            "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b",
            limits=Limits(threads=1, query_s=0.05),
        )


def test_too_much_memory_is_a_limit(store, segment):
    with pytest.raises(QueryLimit):
        sql.ask(
            store.control,
            store.paths,
            "SELECT list(range) FROM range(100000000) GROUP BY range % 3",
            limits=Limits(threads=1, memory="30MB"),
        )


@pytest.mark.parametrize("harm", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:-9])])
def test_a_damaged_segment_is_named(store, segment, harm):
    harm(store.file(segment))
    with pytest.raises(StoreDamaged, match="NSE:SBIN 1m"):
        sql.ask(store.control, store.paths, "SELECT count(close) FROM market_data")
