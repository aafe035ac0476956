"""Dhan's compact CSV -> rows; the sample rows have the shapes users saw."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan import indices
from brokers.dhan.instruments import (
    DETAILED,
    FILE,
    NO_FREEZE,
    DhanInstruments,
    freeze_quantities,
    parse,
    with_freeze,
)
from brokers.errors import WireError
from brokers.model import InstrumentKey
from brokers.transport import Transport
from tests.brokers.dhan.rows import HEADER, SAMPLE, TODAY, csv_bytes, table
from tests.brokers.dhan.server import State, reply


def no_session() -> BrokerSession:
    raise AssertionError("the files are public")


def _keys(*lines: str, today: date = TODAY) -> list[str]:
    return [str(row.key) for row in parse(csv_bytes(*lines), today).rows]


def test_sample_rows_get_openalgo_symbols() -> None:
    parsed = parse(csv_bytes(*SAMPLE.splitlines()), TODAY)
    assert [str(row.key) for row in parsed.rows] == [
        "NSE:DEMOBANK",
        "NSE_INDEX:NIFTY",
        "NFO:NIFTY29SEP26FUT",
        "NFO:NIFTY29SEP2624800CE",
        "NFO:DEMOMETAL29SEP26292.5PE",
        "BSE:DEMOBANK",
        "BSE_INDEX:SENSEX",
        "BFO:SENSEX24SEP2681000PE",
        "MCX:CRUDEOIL19OCT26FUT",
        "CDS:USDINR28SEP26FUT",
        "BCD:USDINR25SEP2684.5CE",
    ]
    assert parsed.skipped == {}


def test_an_option_row_has_every_field_in_our_units() -> None:
    row = table()["NFO:DEMOMETAL29SEP26292.5PE"]
    assert row.token == "920201"
    assert row.broker_exchange == "NSE_FNO"
    assert row.broker_symbol == "DEMOMETAL-Sep2026-292.5-PE"
    assert row.name == "DEMOMETAL"
    assert row.instrument_type == "PE"
    assert row.lot_size == 1000
    assert row.tick_size == Decimal("0.05")
    assert row.expiry == date(2026, 9, 29)
    assert row.strike == Decimal("292.5")
    assert row.display_name == "DEMOMETAL 29 SEP 292.50 PUT"


@pytest.mark.parametrize(
    ("name", "tick"),
    [
        ("NFO:NIFTY29SEP26FUT", "0.1"),
        ("MCX:CRUDEOIL19OCT26FUT", "1"),
        ("CDS:USDINR28SEP26FUT", "0.0025"),
        ("NSE_INDEX:NIFTY", "0"),
    ],
)
def test_tick_sizes_are_paise_in_the_file_and_rupees_here(name: str, tick: str) -> None:
    assert table()[name].tick_size == Decimal(tick)


def test_names_are_companies_for_cash_and_roots_for_derivatives() -> None:
    rows = table()
    assert rows["NSE:DEMOBANK"].name == "DEMO BANK LTD"
    assert rows["BFO:SENSEX24SEP2681000PE"].name == "SENSEX"
    assert rows["NSE_INDEX:NIFTY"].name == "Nifty 50"


def test_a_hyphen_in_the_name_survives() -> None:
    assert _keys(
        "NSE,D,1,OPTSTK,0,BAJAJ-AUTO-Sep2026-9000-CE,75.0,x,2026-09-29,9000.00000,CE,5.0,M,OP,NA,",
        "NSE,D,2,FUTSTK,0,BAJAJ-AUTO-Sep2026-FUT,75.0,x,2026-09-29,0,XX,5.0,M,FUT,NA,",
    ) == ["NFO:BAJAJ-AUTO29SEP269000CE", "NFO:BAJAJ-AUTO29SEP26FUT"]


def test_only_the_eq_series_keeps_the_bare_symbol() -> None:
    warrant = "NSE,E,18116,EQUITY,0,DEMOBANK,33340.0,Demo Warrants,,,,5.0,NA,W,W1,DEMO WARRANTS"
    share = SAMPLE.splitlines()[0]
    rows = parse(csv_bytes(warrant, share), TODAY).rows
    assert {str(row.key): row.token for row in rows} == {
        "NSE:DEMOBANK-W1": "18116",
        "NSE:DEMOBANK": "910001",
    }


def test_the_same_id_in_two_segments_is_two_instruments() -> None:
    rows = table()
    assert rows.by_token("IDX_I", "13") is rows["NSE_INDEX:NIFTY"]
    assert rows.by_token("NSE_EQ", "13") is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("NSE,M,1,FUTCOM,0,GOLD-Sep2026-FUT,1.0,x,2026-09-29,0,XX,5.0,M,FUT,NA,", "no exchange for NSE M"),
        ("NSE,D,1,OPTFUT,0,GOLD-Sep2026-1-CE,1,x,2026-09-29,1,CE,5,M,OP,NA,", "instrument OPTFUT in NSE D"),
        ("NSE,E,1,EQUITY,0,011NSETEST,1.0,x,,,,5.0,NA,ES,EQ,TEST", "test symbol"),
        ("NSE,D,1,FUTIDX,0,NIFTY-Aug2026-FUT,65.0,x,2026-09-17,0,XX,5.0,M,FUT,NA,", "expired"),
        ("NSE,D,1,FUTIDX,0,NIFTY-Aug2026-FUT,65.0,x,,0,XX,5.0,M,FUT,NA,", "derivative without expiry"),
        ("NSE,D,1,OPTIDX,0,NIFTY-Sep2026-1-CE,6,x,2026-09-29,0,CE,5,,,,", "option without type or strike"),
        ("NSE,D,1,FUTIDX,0,NIFTY,65.0,x,2026-09-29,0,XX,5.0,M,FUT,NA,", "derivative symbol of another shape"),
        ("NSE,E,abc,EQUITY,0,DEMO,1.0,x,,,,5.0,NA,ES,EQ,DEMO", "no id or symbol"),
        ("NSE,E,1,EQUITY,0,DEMO,one,x,,,,5.0,NA,ES,EQ,DEMO", "unreadable number"),
        ("NSE,E,1,EQUITY", "short row"),
        ("NSE,E,7,EQUITY,0,DEMOBANK,1.0,x,,,,5.0,NA,ES,EQ,DEMO", "same symbol again"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_counted_with_its_reason(line: str, reason: str) -> None:
    parsed = parse(csv_bytes(SAMPLE.splitlines()[0], line), TODAY)
    assert [row.token for row in parsed.rows] == ["910001"]
    assert parsed.skipped == {reason: 1}


def test_a_contract_stays_on_its_last_day() -> None:
    line = "NSE,D,1,FUTIDX,0,NIFTY-Sep2026-FUT,65.0,x,2026-09-18 14:30:00,0,XX,5.0,M,FUT,NA,"
    assert _keys(line) == ["NFO:NIFTY18SEP26FUT"]


def test_columns_are_found_by_name() -> None:
    names = HEADER.split(",")
    turned = ",".join(reversed(["EXTRA", *names]))
    line = ",".join(reversed(["?", *SAMPLE.splitlines()[0].split(",")]))
    rows = parse(f"\ufeff{turned}\r\n{line}\r\n".encode(), TODAY).rows
    assert [(str(row.key), row.token) for row in rows] == [("NSE:DEMOBANK", "910001")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Dhan's compact instrument file: no"),
        (b"<html>maintenance</html>", "Dhan's compact instrument file: no"),
        (HEADER.replace("SEM_TICK_SIZE", "TICK").encode(), "no SEM_TICK_SIZE"),
        (HEADER.encode() + b"\n", "no usable row"),
        (b"\xff\xfe\x00", "Dhan's compact instrument file: no"),
    ],
)
def test_a_file_that_is_something_else_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        parse(content, TODAY)


@pytest.mark.parametrize(
    ("exchange", "dhan", "ours"),
    [
        ("NSE_INDEX", "NIFTY NEXT 50", "NIFTYNXT50"),
        ("NSE_INDEX", "India VIX", "INDIAVIX"),
        ("NSE_INDEX", "NIFTY MIDSMALLCAP 400", "NIFTYMIDSML400"),
        ("NSE_INDEX", "NIFTY NEW THING", "NIFTY NEW THING"),
        ("BSE_INDEX", "SNSX50", "SENSEX50"),
        ("BSE_INDEX", "SMLCAP", "BSESMALLCAP"),
        ("BSE_INDEX", "BSE100", "BSE100"),
        ("BSE_INDEX", "AUTO", "BSEAUTO"),
        ("BSE_INDEX", "SOMETHING", "SOMETHING"),
    ],
)
def test_index_names_follow_openalgo_where_it_has_one(exchange: str, dhan: str, ours: str) -> None:
    assert indices.symbol(exchange, dhan) == ours


def test_every_index_rename_ends_in_a_name_openalgo_has() -> None:
    assert set(indices.NSE_RENAMES.values()) <= indices.NSE_NAMES
    assert set(indices.BSE_RENAMES.values()) <= indices.BSE_NAMES


def test_a_file_of_full_size_gives_all_its_rows() -> None:
    months = [(f"2026-{m:02d}-24", f"{n}2026") for m, n in ((10, "Oct"), (11, "Nov"), (12, "Dec"))]
    lines = [
        f"NSE,E,{i},EQUITY,0,CASH{i},1.0,Cash {i},,,,5.0000,NA,ES,EQ,CASH {i} LTD" for i in range(12_000)
    ]
    for number in range(216_000):
        day, month = months[number % 3]
        root, strike = f"ROOT{number // 600}", 100 + (number // 6 % 100) * 5
        kind = "CE" if number // 3 % 2 else "PE"
        lines.append(
            f"NSE,D,{100000 + number},OPTSTK,0,{root}-{month}-{strike}-{kind},500.0,{root} {strike} {kind},"
            f"{day} 14:30:00,{strike}.00000,{kind},5.0000,M,OP,NA,"
        )
    content = csv_bytes(*lines)
    started = time.process_time()
    parsed = parse(content, TODAY)
    print(f"{len(lines)} rows, {len(content) >> 20} MiB: {time.process_time() - started:.2f} s CPU")
    assert len(parsed.rows) == 228_000
    assert parsed.skipped == {}
    assert parsed.rows[-1].key == InstrumentKey("NFO", "ROOT35924DEC26595CE")


def test_the_source_takes_the_file_whatever_its_name_is() -> None:
    source = object.__new__(DhanInstruments)
    content = csv_bytes(SAMPLE.splitlines()[0])
    for name in (FILE, "mine.csv"):
        assert len(source.parse({name: content}, TODAY).rows) == 1
    with pytest.raises(WireError, match="one instrument file"):
        source.parse({}, TODAY)


# -- freeze quantities ---------------------------------------------------------------------------------------

DETAILED_HEADER = "EXCH_ID,SEGMENT,SECURITY_ID,LOT_SIZE,SM_UPPER_LIMIT,SM_FREEZE_QTY,"


def detailed(*lines: str) -> bytes:
    return ("\ufeff" + "\n".join([DETAILED_HEADER, *lines]) + "\n").encode()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("NSE,D,920101,65.0,0,1756,", {"NSE_FNO": {"920101": 1755}}),
        ("NSE,D,920101,65.0,0,1801.0,", {"NSE_FNO": {"920101": 1800}}),
        ("NSE,E,910001,1.0,0,250000,", {"NSE_EQ": {"910001": 250_000}}),
        ("BSE,D,5,20.0,0,1001,", {"BSE_FNO": {"5": 1000}}),
        ("NSE,D,920101,65.0,0,0,", {}),
        ("NSE,D,920101,65.0,0,-1,", {}),
        ("NSE,D,920101,65.0,0,,", {}),
        ("NSE,D,920101,65.0,0,NA,", {}),
        ("NSE,D,920101", {}),
        ("NSE,M,920101,65.0,0,100,", {}),
    ],
)
def test_the_detailed_file_knows_the_largest_order(line: str, found: dict[str, dict[str, int]]) -> None:
    assert freeze_quantities(detailed(line)) == found


def test_ids_are_unique_only_within_a_segment() -> None:
    found = freeze_quantities(detailed("NSE,D,5,65.0,0,1756,", "BSE,D,5,20.0,0,1001,"))
    assert found == {"NSE_FNO": {"5": 1755}, "BSE_FNO": {"5": 1000}}


def test_a_file_without_the_column_is_named() -> None:
    with pytest.raises(WireError, match="detailed instrument file"):
        freeze_quantities(b"EXCH_ID,SEGMENT,SECURITY_ID\nNSE,D,1\n")


def test_a_limit_below_one_lot_is_none() -> None:
    option = table()["NFO:DEMOMETAL29SEP26292.5PE"]
    [same] = with_freeze([option], {"NSE_FNO": {"920201": option.lot_size - 1}})
    [limited] = with_freeze([option], {"NSE_FNO": {"920201": option.lot_size}})
    assert (same.freeze_qty, limited.freeze_qty) == (0, option.lot_size)


def test_the_source_joins_the_two_files_whatever_their_names_are() -> None:
    source = object.__new__(DhanInstruments)
    compact = csv_bytes(*SAMPLE.splitlines())
    freeze = detailed("NSE,D,920201,1000.0,0,40001,")
    for files in ({FILE: compact, DETAILED: freeze}, {"b.csv": freeze, "a.csv": compact}):
        parsed = source.parse(files, TODAY)
        assert {row.token: row.freeze_qty for row in parsed.rows if row.freeze_qty} == {"920201": 40_000}
        assert parsed.skipped == {}


def test_without_the_detailed_file_the_rows_are_there_and_the_gap_is_counted() -> None:
    parsed = object.__new__(DhanInstruments).parse({FILE: csv_bytes(*SAMPLE.splitlines())}, TODAY)
    assert parsed.skipped == {NO_FREEZE: len(parsed.rows)}


def test_a_missing_detailed_file_does_not_cost_the_table(server: State) -> None:
    url = f"{server.url}/api-data/{FILE}"
    server.on("GET", f"/api-data/{FILE}", reply(200, csv_bytes(SAMPLE.splitlines()[0])))
    server.on("GET", f"/api-data/{DETAILED}", reply(404, b"gone"))
    context = BrokerContext(
        {}, {"instruments": url}, {}, ManualClock(datetime(2026, 9, 18, tzinfo=UTC)), table()
    )
    files = DhanInstruments(context, no_session, Transport()).download()
    assert list(files) == [FILE]
    server.on("GET", f"/api-data/{DETAILED}", reply(200, detailed()))
    assert list(DhanInstruments(context, no_session, Transport()).download()) == [FILE, DETAILED]
