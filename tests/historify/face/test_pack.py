"""``pack``: one file that needs nothing beside it."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from brokers.errors import InvalidRequest
from historify.errors import StoreDamaged
from historify.face import pack as module
from historify.face.pack import pack
from historify.model import Series
from tests.historify.reader.stores import days, minutes


def test_a_packed_store_stands_alone(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    store.add(Series("NSE", "SBIN", "1m"), minutes("2026-11-02", "09:15", 375))
    store.add(Series("NSE", "SBIN", "1m"), minutes("2026-11-03", "09:15", 5))
    store.add(Series("NSE", "M&M", "D"), days([("2026-11-02", 7)]))
    store.add(Series("BSE", "500325", "D"), days([("2026-11-02", 8)]))
    seen: list[tuple[int, int]] = []
    target = tmp_path / "all.duckdb"
    packed = pack(store.control, store.paths, target, progress=lambda *at: seen.append(at))
    assert (packed.rows, packed.series, seen) == (382, 3, [(2, 3), (3, 3)])
    store.control.close()
    shutil.rmtree(store.paths.root)
    with duckdb.connect(str(target), read_only=True) as connection:
        counted = connection.execute(
            "SELECT symbol, count(*) FROM market_data GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert counted == [("500325", 1), ("M&M", 1), ("SBIN", 380)]
        assert connection.execute("SELECT count(*) FROM bars_1m").fetchone() == (380,)
        assert connection.execute("SELECT count(*) FROM bars_d").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM data_catalog").fetchone() == (3,)


def test_an_empty_store_packs(store, tmp_path):
    assert pack(store.control, store.paths, tmp_path / "x.duckdb").rows == 0


def test_an_existing_file_is_never_written_over(store, tmp_path):
    target = tmp_path / "x.duckdb"
    target.write_text("mine")
    with pytest.raises(InvalidRequest, match="exists"):
        pack(store.control, store.paths, target)
    assert target.read_text() == "mine"


def test_a_damaged_segment_leaves_no_file(store, tmp_path):
    segment = store.add(Series("NSE", "SBIN", "1m"), minutes("2026-11-02", "09:15", 375))
    store.file(segment).unlink()
    with pytest.raises(StoreDamaged, match="NSE:SBIN 1m"):
        pack(store.control, store.paths, tmp_path / "x.duckdb")
    assert [path.name for path in tmp_path.iterdir() if "x.duckdb" in path.name] == []
