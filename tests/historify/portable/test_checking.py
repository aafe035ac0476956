"""A dry run: what a file holds, and every row that is wrong with its line, column and reason."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.errors import WrongInterval
from historify.model import Series
from historify.portable.importing import ImportOptions, check
from historify.portable.sources import BLOCK_ROWS

NOW = int(datetime(2026, 11, 21, 12, tzinfo=IST).timestamp())
OPENS = int(datetime(2024, 1, 2, 9, 15, tzinfo=IST).timestamp())
SBIN = ImportOptions("NSE", "SBIN", "1m")
ROW = "100.05,101.1,99.95,100.5,10"
STYLES = {
    "timestamp": f"timestamp,open,high,low,close,volume\n{OPENS},{ROW}\n{OPENS + 60},{ROW}\n",
    "timestamp in ms": f"Timestamp,Open,High,Low,Close,Volume\n{OPENS}000,{ROW}\n{OPENS + 60}000,{ROW}\n",
    "date+time": "DATE,TIME,OPEN,HIGH,LOW,CLOSE,VOLUME\n"
    f"2024-01-02,09:15:00,{ROW}\n2024-01-02,09:16:00,{ROW}\n",
    "datetime": f"datetime,o,h,l,c,v\n2024-01-02T09:15:00+05:30,{ROW}\n2024-01-02T09:16:00+05:30,{ROW}\n",
    "amibroker": "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOLUME>\n"
    f"20240102,0915,{ROW}\n20240102,0916,{ROW}\n",
    "semicolons": f"datetime,o,h,l,c,v\n2024-01-02 09:15,{ROW}\n2024-01-02 09:16,{ROW}\n".replace(",", ";"),
}


def file(tmp_path: Path, text: str, name: str = "bars.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str, options: ImportOptions = SBIN) -> str:
    with pytest.raises(InvalidRequest) as caught:
        check(file(tmp_path, text), options, now_s=NOW)
    return str(caught.value)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_column_gives_the_same_bars(tmp_path, style):
    found = check(file(tmp_path, STYLES[style]), SBIN, now_s=NOW)
    (one,) = found.series
    assert (found.rows, found.bad, found.imported) == (2, 0, False)
    assert (one.series, one.rows) == (Series("NSE", "SBIN", "1m"), 2)
    assert (one.first_ts, one.last_ts) == (OPENS, OPENS + 60)


def test_the_zone_that_is_stated_counts(tmp_path):
    text = STYLES["date+time"].replace("09:1", "03:4").replace("03:46", "03:46")
    utc = ImportOptions("NSE", "SBIN", "1m", zone="UTC")
    assert check(file(tmp_path, text), utc, now_s=NOW).series[0].first_ts == OPENS


def test_each_bad_row_is_named_and_the_good_ones_are_counted(tmp_path):
    lines = [
        "date,time,open,high,low,close,volume",
        "2024-01-02,09:15," + ROW,
        "2024-01-02,09:16,abc,101,99,100,5",
        "2024-01-02,09:17,100,99,98,100,5",
        "2024-01-02,09:18:30," + ROW,
        "2024-01-02,09:19,100,101,99",
        "2024-01-02,09:20,100,101,99,100,-5",
        "2024-01-02,09:21,0,101,0,100,5",
        "2099-01-02,09:22," + ROW,
        "",
        "2024-01-02,09:23,nan,inf,99,100,1.5",
        "2024-01-02,09:24,100,101,99,100,",
    ]
    found = check(file(tmp_path, "\n".join(lines) + "\n"), SBIN, now_s=NOW)
    assert {(e.line, e.column) for e in found.errors} == {
        (3, "open"),
        (4, "high"),
        (5, "date"),
        (6, "row"),
        (7, "volume"),
        (8, "open"),
        (8, "low"),
        (9, "date"),
        (11, "open"),
        (11, "high"),
        (11, "volume"),
    }
    assert (found.rows, found.bad, found.series[0].rows) == (10, 8, 2)
    said = {(e.line, e.column): e.why for e in found.errors}
    assert said[3, "open"] == "'abc' is not a number"
    assert said[6, "row"] == "5 cells, the header has 7"
    assert "lies in the future" in said[9, "date"]


def test_lines_are_right_beyond_the_first_block(tmp_path):
    rows = [f"{OPENS + 60 * n},{ROW}" for n in range(BLOCK_ROWS + 100)]
    rows[BLOCK_ROWS + 7] = f"x,{ROW}"
    found = check(file(tmp_path, "timestamp,o,h,l,c,v\n" + "\n".join(rows)), SBIN, now_s=NOW)
    assert [(e.line, e.column) for e in found.errors] == [(BLOCK_ROWS + 9, "timestamp")]


def test_a_file_may_say_itself_what_each_row_is(tmp_path):
    text = (
        "symbol,exchange,interval,timestamp,open,high,low,close,volume,oi\n"
        f"M&M,NSE,1m,{OPENS},{ROW},0\nNIFTY 50,nse_index,1min,{OPENS},{ROW},\nM&M,NSE,day,{OPENS},{ROW},7.0\n"
        f"A/B,NSE,1m,{OPENS},{ROW},0\nX,LSE,1m,{OPENS},{ROW},0\nX,NSE,5m,{OPENS},{ROW},0\n,NSE,1m,{OPENS},{ROW},0\n"
    )
    found = check(file(tmp_path, text), ImportOptions(), now_s=NOW)
    assert [str(one.series) for one in found.series] == [
        "NSE:A/B 1m",
        "NSE:M&M 1m",
        "NSE:M&M D",
        "NSE_INDEX:NIFTY 50 1m",
    ]
    assert [(e.line, e.column) for e in found.errors] == [(6, "exchange"), (7, "interval"), (8, "symbol")]


def test_what_neither_file_nor_caller_says_is_asked_for(tmp_path):
    assert "no column exchange, symbol" in refused(
        tmp_path, STYLES["timestamp"], ImportOptions(interval="1m")
    )
    with pytest.raises(WrongInterval, match="interval 5m is not kept: 1m and D"):
        check(file(tmp_path, STYLES["timestamp"]), ImportOptions("NSE", "SBIN", "5m"), now_s=NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("timestamp,open,high,low,close\n", "has a header and no rows"),
        ("open,high,low,close\n1,1,1,1\n", "timestamp, datetime, or date"),
        ("timestamp,open,high,low\n1,1,1\n", "columns missing: close"),
        ("timestamp,open,Open,high,low,close\n1,1,1,1,1,1\n", "two columns mean open"),
        ('timestamp,o,h,l,c\n1,"2"x,1,1,1\n', "line 2 is not CSV"),
        ("PK\x03\x04", "neither CSV nor Parquet"),
        ("PAR1 and then nothing", "not a readable Parquet file"),
    ],
)
def test_what_is_no_such_file_says_so(tmp_path, text, said):
    assert said in refused(tmp_path, text)


def test_text_in_another_encoding_and_a_missing_file_say_so(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_bytes(STYLES["timestamp"].encode() + b"\xff\xfe,1\n")
    with pytest.raises(InvalidRequest, match="is no UTF-8 text"):
        check(path, SBIN, now_s=NOW)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        check(tmp_path / "none.csv", SBIN, now_s=NOW)


def test_a_mark_at_the_beginning_and_windows_lines_do_not_matter(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_bytes(b"\xef\xbb\xbf" + STYLES["timestamp"].replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert check(path, SBIN, now_s=NOW).rows == 2


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([OPENS, OPENS + 60]),
        pa.array([OPENS * 1000, OPENS * 1000 + 60_000]),
        pa.array([OPENS * 10**9, (OPENS + 60) * 10**9]).cast(pa.timestamp("ns", tz="UTC")),
        pa.array([OPENS * 10**6, (OPENS + 60) * 10**6]).cast(pa.timestamp("us", tz="Asia/Kolkata")),
        pa.array([(OPENS + 19_800) * 1000, (OPENS + 19_860) * 1000]).cast(pa.timestamp("ms")),
        pa.array(["2024-01-02 09:15:00", "2024-01-02 09:16:00"]),
    ],
    ids=["s", "ms", "utc", "ist", "naive", "text"],
)
def test_parquet_with_every_kind_of_time(tmp_path, stamps):
    numbers = {name: pa.array([100.0, 100.0]) for name in ("Open", "High", "Low", "Close")}
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table({"timestamp": stamps, **numbers, "Volume": pa.array([1.0, None])}), path)
    found = check(path, SBIN, now_s=NOW)
    assert (found.kind, found.bad, found.series[0].first_ts, found.series[0].rows) == ("parquet", 0, OPENS, 2)


def test_a_torn_parquet_is_no_empty_one(tmp_path):
    path = tmp_path / "bars.parquet"
    count = 50_000
    numbers = {name: pa.array([100.0 + n % 7 / 10 for n in range(count)]) for name in ("open", "close")}
    table = {"timestamp": pa.array([OPENS + 60 * n for n in range(count)]), **numbers}
    table |= {"high": pa.array([200.0] * count), "low": pa.array([1.0] * count)}
    pq.write_table(pa.table(table), path, compression="zstd", use_dictionary=False)
    whole = bytearray(path.read_bytes())
    whole[2000:9000] = b"\xff" * 7000
    path.write_bytes(whole)
    with pytest.raises(InvalidRequest, match="not a readable Parquet file"):
        check(path, SBIN, now_s=NOW)
