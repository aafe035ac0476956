"""Columns over the C interface equal what DuckDB says by its own means."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from historify.reader.arrow import StreamError, drain


def columns(sql: str, kinds: str):
    with duckdb.connect() as connection:
        return drain(connection.sql(sql).__arrow_c_stream__(), kinds)


@pytest.mark.parametrize("count", [0, 1, 2047, 2048, 2049, 250_000])
def test_every_row_of_every_batch_arrives(count):
    whole, real = columns(f"SELECT range * -3, range / 7 FROM range({count})", "qd")
    assert list(whole) == [n * -3 for n in range(count)]
    assert list(real) == [n / 7 for n in range(count)]


def test_a_missing_value_is_an_error():
    with pytest.raises(StreamError, match="1 values are missing"):
        columns("SELECT unnest([1, NULL, 3]::BIGINT[])", "q")


def test_an_error_on_the_way_is_told():
    with pytest.raises((StreamError, duckdb.Error), match="Could not convert"):
        columns("SELECT CAST(if(range = 200000, 'x', '1') AS BIGINT) FROM range(300000)", "q")


def test_a_column_that_starts_inside_its_buffer():
    part = pa.table({"a": pa.array(range(10)), "b": pa.array([n / 4 for n in range(10)])}).slice(3, 4)
    whole, real = drain(part.__arrow_c_stream__(), "qd")
    assert (list(whole), list(real)) == ([3, 4, 5, 6], [0.75, 1.0, 1.25, 1.5])
