"""Where TimescaleDB is installed: old chunks compress, and a compressed day can still be pulled again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest

from historify.model import Bars, Provenance, PutReport
from historify.postgres import schema
from historify.postgres.store import PostgresStore
from tests.historify.contract.rig import MONDAY, Epoch, a_series, bar, calendar, minutes, request
from tests.historify.server import Server, has_timescale

pytestmark = [
    pytest.mark.xdist_group("postgres"),
    pytest.mark.skipif(not has_timescale(), reason="needs TimescaleDB, which Debian does not ship"),
]
Admin = psycopg.Connection[tuple[object, ...]]
PULLED = Provenance("dhan", at_s=1_760_000_000)


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    name = server.database("hypertables", "timescaledb")
    return f"{server.url(name)}&compress_after_days=30&retain_days=9000"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[PostgresStore]:
    one = PostgresStore(url, calendar=calendar(tmp_path))
    yield one
    one.close()


@pytest.fixture
def admin(server: Server) -> Iterator[Admin]:
    with psycopg.connect(server.url("hypertables"), autocommit=True) as connection:
        yield connection


def test_the_extension_is_used(store: PostgresStore, admin: Admin) -> None:
    assert store.layout == schema.TIMESCALE
    jobs = admin.execute(
        "SELECT proc_name, config FROM timescaledb_information.jobs WHERE proc_name ~ 'policy_'"
    )
    kept = dict(jobs.fetchall())
    assert kept["policy_compression"]["compress_after"] == 30 * 86_400
    assert kept["policy_retention"]["drop_after"] == 9000 * 86_400


def test_a_compressed_day_reads_and_changes_as_any_other(store: PostgresStore, admin: Admin) -> None:
    series = a_series()
    rows = minutes(MONDAY)
    put = dict(fence=Epoch(1), provenance=PULLED)
    store.put(series, Bars.of(rows), **put)
    chunks = admin.execute("SELECT compress_chunk(c) FROM show_chunks('historify.bars_1m') c").fetchall()
    assert chunks
    wanted = request(series, "1m", MONDAY, MONDAY)
    assert list(store.get(wanted).rows()) == rows
    assert store.put(series, Bars.of(rows), **put) == PutReport(375, 0, 0)
    changed = [bar(rows[7][0], 900.0), bar(rows[-1][0] + 60, 901.0)]
    assert store.put(series, Bars.of(changed), **put) == PutReport(2, 1, 1)
    assert list(store.get(wanted).rows()) == [*rows[:7], changed[0], *rows[8:], changed[1]]
    assert store.delete(series, fence=Epoch(1), start=MONDAY, end=MONDAY) == 376
    assert len(store.get(request(series, "15m", date(2025, 1, 1), MONDAY + timedelta(days=9)))) == 0
