"""Files written by any store are the same, column by column."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from historify.model import BarRequest, Row
from tests.historify.contract.rig import MONDAY, Rig, a_series, minutes

COLUMNS = ["symbol", "exchange", "interval", "timestamp", "open", "high", "low", "close", "volume", "oi"]


def exported(rig: Rig, interval: str, path: Path) -> tuple[str, list[Row]]:
    series = a_series()
    rig.put(series, minutes(MONDAY, count=60) + minutes(MONDAY + timedelta(days=1), count=60))
    end = MONDAY + timedelta(days=1)
    rows = rig.store.export(BarRequest(series.exchange, series.symbol, interval, MONDAY, end), path)
    held = rig.rows(series, interval, MONDAY, end)
    assert rows == len(held)
    return series.symbol, held


@pytest.mark.parametrize("interval", ["1m", "15m"])
def test_csv_has_the_columns_of_market_data(rig: Rig, tmp_path: Path, interval: str) -> None:
    path = tmp_path / "out.csv"
    symbol, held = exported(rig, interval, path)
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == COLUMNS
    assert lines == [[symbol, "NSE", interval, *map(repr, row)] for row in held]


@pytest.mark.parametrize("interval", ["1m", "15m"])
def test_parquet_has_the_columns_of_market_data(rig: Rig, tmp_path: Path, interval: str) -> None:
    path = tmp_path / "out.parquet"
    symbol, held = exported(rig, interval, path)
    answer = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)])
    described = [(name, str(kind)) for name, kind, *_ in answer.description or ()]
    assert [name for name, _ in described] == COLUMNS
    assert [kind for _, kind in described[3:]] == ["BIGINT", *["DOUBLE"] * 4, "BIGINT", "BIGINT"]
    assert answer.fetchall() == [(symbol, "NSE", interval, *row) for row in held]


def test_an_export_of_nothing_has_no_rows(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    assert rig.store.export(BarRequest("NSE", "NOBODY", "1m", MONDAY, MONDAY), path) == 0
