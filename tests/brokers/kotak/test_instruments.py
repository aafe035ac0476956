"""The scrip master: the sample rows of the reference, its traps, its size, and its download."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

import pytest

from brokers.clock import IST
from brokers.contract import BrokerContext, BrokerSession
from brokers.errors import BrokerDown, LoginRequired, WireError
from brokers.kotak.instruments import (
    BSE_INDEX_NAMES,
    NSE_INDEX_NAMES,
    KotakInstruments,
    display_name,
    parse_files,
)
from brokers.model import Instrument, InstrumentKey
from brokers.transport import Transport
from tests.brokers.kotak.master import COLUMNS, HEADER, SAMPLES, file, row
from tests.brokers.kotak.server import Answer, Server, says

D = Decimal
TODAY = date(2026, 11, 20)


def by_key(files: dict[str, bytes] = SAMPLES, today: date = TODAY) -> dict[InstrumentKey, Instrument]:
    return {i.key: i for i in parse_files(files, today).rows}


def test_the_header_is_kotaks() -> None:
    assert len(COLUMNS) == 78
    assert "dTickSize " in COLUMNS
    assert "dStrikePrice;" in COLUMNS


@pytest.mark.parametrize(
    ("exchange", "symbol", "token", "trading", "lot", "tick", "strike", "expiry"),
    [
        ("NSE", "DEMOIND", "90001", "DEMOIND-EQ", 1, "0.05", "0", None),
        ("NSE", "DEMOTWO", "90002", "DEMOTWO-BE", 1, "0.01", "0", None),
        ("NSE_INDEX", "NIFTY", "26000", "NIFTY", 1, "0", "0", None),
        ("NFO", "NIFTY24NOV2624000CE", "50001", "NIFTY26NOV24000CE", 65, "0.05", "24000", date(2026, 11, 24)),
        ("NFO", "BANKNIFTY29DEC26FUT", "50002", "BANKNIFTY26DECFUT", 30, "0.2", "0", date(2026, 12, 29)),
        (
            "BFO",
            "SENSEX26NOV2682000PE",
            "70001",
            "SENSEX26NOV82000PE",
            20,
            "0.05",
            "82000",
            date(2026, 11, 26),
        ),
        ("MCX", "GOLD04DEC26FUT", "80001", "GOLD26DECFUT", 1, "1", "0", date(2026, 12, 4)),
        ("CDS", "USDINR29DEC26FUT", "60001", "USDINR26DECFUT", 1, "0.0025", "0", date(2026, 12, 29)),
    ],
)
def test_the_sample_rows(
    exchange: str,
    symbol: str,
    token: str,
    trading: str,
    lot: int,
    tick: str,
    strike: str,
    expiry: date | None,
) -> None:
    found = by_key()[InstrumentKey(exchange, symbol)]
    assert (found.token, found.broker_symbol, found.lot_size) == (token, trading, lot)
    assert (found.tick_size, found.strike, found.expiry) == (D(tick), D(strike), expiry)
    assert not found.expired


def test_kinds_names_and_freeze_quantities() -> None:
    rows = by_key()
    kinds = {str(k): i.instrument_type for k, i in rows.items()}
    assert kinds["NSE:DEMOIND"] == "EQ"
    assert kinds["NFO:NIFTY24NOV2624000CE"] == "CE"
    assert kinds["BFO:SENSEX26NOV2682000PE"] == "PE"
    assert kinds["MCX:GOLD04DEC26FUT"] == "FUT"
    assert kinds["NSE_INDEX:NIFTY"] == "INDEX"
    assert rows[InstrumentKey("NSE", "DEMOIND")].freeze_qty == 9999
    assert rows[InstrumentKey("NFO", "NIFTY24NOV2624000CE")].name == "NIFTY"


@pytest.mark.parametrize(
    ("root", "expiry", "kind", "strike", "name"),
    [
        ("ICICIGI", date(2026, 10, 28), "CE", "1860", "ICICIGI 28 OCT 1860 CALL"),
        ("NIFTY", date(2026, 11, 3), "PE", "24000.50", "NIFTY 03 NOV 24000.5 PUT"),
        ("BANKNIFTY", date(2026, 12, 29), "FUT", "0", "BANKNIFTY DEC FUT"),
    ],
)
def test_contracts_have_a_name_a_person_would_type(
    root: str, expiry: date, kind: str, strike: str, name: str
) -> None:
    assert display_name(root, expiry, kind, D(strike)) == name


def test_a_broken_strike_keeps_its_decimals_and_a_whole_one_loses_its_point() -> None:
    made = file(row(1, "XX", "cde_fo", "OPTCUR", "USDINR", "X", "CE", "", 0.25, 1, 1483021800, 8250))
    assert InstrumentKey("CDS", "USDINR29DEC2682.5CE") in by_key({"cde_fo.csv": made})


@pytest.mark.parametrize(
    ("segment", "seconds", "day"),
    [
        ("nse_fo", 1479997800, date(2026, 11, 24)),
        ("nse_fo", 1483021800, date(2026, 12, 29)),
        # the first and the last minute of a day, where the other offsets land beside it
        ("nse_fo", 1479945600, date(2026, 11, 24)),
        ("cde_fo", 1480031940, date(2026, 11, 24)),
        ("nse_fo", 1485441000, date(2027, 1, 26)),
        # around 29 February the "+10 years" recipe is a day off
        ("nse_fo", 1394116200, date(2024, 3, 5)),
        ("nse_fo", 1520346600, date(2028, 3, 5)),
        ("bse_fo", 1795651200, date(2026, 11, 26)),
        ("mcx_fo", 1796408940, date(2026, 12, 4)),
    ],
)
def test_expiries_count_from_1980_in_india_or_from_1970(segment: str, seconds: int, day: date) -> None:
    made = file(row(1, "XX", segment, "FUT", "X", "X", "XX", "", 5, 1, seconds, -1))
    (found,) = (i for i in parse_files({f"{segment}.csv": made}, TODAY).rows if i.expiry)
    assert found.expiry == day


def test_1980_offset_is_the_instant_of_an_indian_midnight() -> None:
    # the reference's own check: 24 Nov 2026 14:30 IST
    assert datetime.fromtimestamp(1479997800 + 315_513_000, IST) == datetime(2026, 11, 24, 14, 30, tzinfo=IST)


@pytest.mark.parametrize(("today", "expired"), [(date(2026, 11, 24), False), (date(2026, 11, 25), True)])
def test_a_contract_is_expired_the_day_after(today: date, expired: bool) -> None:
    assert by_key(today=today)[InstrumentKey("NFO", "NIFTY24NOV2624000CE")].expired is expired


@pytest.mark.parametrize(("symbol", "name"), [*NSE_INDEX_NAMES.items()])
def test_nse_indices_carry_the_exact_wire_name(symbol: str, name: str) -> None:
    found = by_key()[InstrumentKey("NSE_INDEX", symbol)]
    assert (found.feed_token, found.broker_exchange) == (name, "nse_cm")
    assert found.token == ("26000" if symbol == "NIFTY" else name)


def test_bse_indices_are_rows_without_isin() -> None:
    made = file(
        row(1, "", "bse_cm", "", "SENSEX", "SENSEX", "", "", -1, 1, -1, -1),
        row(500001, "A", "bse_cm", "", "DEMOIND", "DEMOIND", "", "INE000A00001", 5, 1, -1, -1),
    )
    rows = by_key({"bse_cm.csv": made})
    assert rows[InstrumentKey("BSE_INDEX", "SENSEX")].token == "1"
    assert rows[InstrumentKey("BSE", "DEMOIND")].instrument_type == "EQ"
    assert {k.symbol for k in rows if k.exchange == "BSE_INDEX"} == set(BSE_INDEX_NAMES)


def test_equal_tokens_of_two_segments_are_two_instruments() -> None:
    files = {
        "nse_cm.csv": file(row(7, "EQ", "nse_cm", "", "A", "A-EQ", "", "INE1", 5, 1, -1, -1)),
        "bse_cm.csv": file(row(7, "A", "bse_cm", "", "B", "B", "", "INE2", 5, 1, -1, -1)),
    }
    rows = [i for i in parse_files(files, TODAY).rows if i.token == "7"]
    assert [(i.broker_exchange, i.key.symbol) for i in rows] == [("nse_cm", "A"), ("bse_cm", "B")]


def test_what_is_left_out_is_counted_by_reason() -> None:
    files = {
        "nse_cm.csv": file(
            row(1, "BE", "nse_cm", "", "A", "A-BE", "", "INE1", 5, 1, -1, -1),
            row(2, "EQ", "nse_cm", "", "A", "A-EQ", "", "INE1", 5, 1, -1, -1),
            row(3, "BL", "nse_cm", "", "A", "A-BL", "", "INE1", 5, 1, -1, -1),
            row(4, "EQ", "nse_cm", "", "", "", "", "INE1", 5, 1, -1, -1),
        ),
        "bse_fo.csv": file(row(5, "XX", "bse_fo", "", "A", "A", "", "", 5, 1, 1795651200, -1)),
        "nse_fo.csv": file(
            row(6, "XX", "nse_fo", "", "A", "A", "CE", "", 5, 1, -1, -1),
            row(7, "XX", "nse_fo", "", "A", "A", "ZZ", "", 5, 1, 1479997800, -1),
        ),
        "nse_com.csv": file(row(8, "XX", "nse_com", "", "A", "A", "XX", "", 5, 1, 1479997800, -1)),
    }
    parsed = parse_files(files, TODAY)
    assert parsed.skipped == {
        "same symbol again": 1,
        "series": 1,
        "no name": 1,
        "option type": 2,
        "no expiry": 1,
        "segment nse_com": 1,
    }
    (share,) = (i for i in parsed.rows if i.key == InstrumentKey("NSE", "A"))
    assert share.broker_symbol == "A-EQ", "a share in both series is traded in EQ"


@pytest.mark.parametrize(("tick", "lot"), [("five", 1), (5, "many")])
def test_one_unreadable_number_costs_one_row_and_is_counted(tick: object, lot: object) -> None:
    bad = row(1, "EQ", "nse_cm", "", "A", "A-EQ", "", "INE1", tick, lot, -1, -1)
    good = row(2, "EQ", "nse_cm", "", "B", "B-EQ", "", "INE2", 5, 1, -1, -1)
    option = row(3, "XX", "nse_fo", "", "C", "C", "CE", "", tick, lot, 1479997800, 100)
    parsed = parse_files({"nse_cm.csv": file(bad, good), "nse_fo.csv": file(option)}, TODAY)
    assert [i.key.symbol for i in parsed.rows if i.key.exchange != "NSE_INDEX"] == ["B"]
    assert parsed.skipped == {"unreadable number": 2}


def test_the_fallback_column_holds_the_expiry_too() -> None:
    made = file(row(1, "XX", "nse_fo", "", "A", "A", "XX", "", 5, 1, "", -1, pExpiryDate=1479997800))
    assert InstrumentKey("NFO", "A24NOV26FUT") in by_key({"nse_fo.csv": made})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        HEADER.replace("pISIN", "pWhat").encode(),
        f"{HEADER}\n1,EQ,nse_cm\n".encode(),
    ],
    ids=range(4),
)
def test_a_file_that_is_not_what_it_should_be_is_an_error(content: bytes) -> None:
    with pytest.raises(WireError):
        parse_files({"nse_cm.csv": content}, TODAY)


def big_master() -> dict[str, bytes]:
    """200,000 contracts and shares in the shape of the real files."""
    options = []
    for n in range(190_000):
        root, strike, kind = f"ROOT{n % 200}", 100 + n // 400, "CE" if n // 200 % 2 else "PE"
        options.append(
            row(
                n,
                "XX",
                "nse_fo",
                "OPTSTK",
                root,
                f"{root}26NOV{strike}{kind}",
                kind,
                "",
                5,
                65,
                1479997800,
                strike * 100,
            )
        )
    shares = [
        row(n, "EQ", "nse_cm", "", f"S{n}", f"S{n}-EQ", "", f"INE{n}", 5, 1, -1, -1) for n in range(10_000)
    ]
    return {"nse_cm.csv": file(*shares), "nse_fo.csv": file(*options)}


def test_a_master_of_200_000_rows() -> None:
    files = big_master()
    started = time.perf_counter()
    parsed = parse_files(files, TODAY)
    print(f"200,000 rows in {time.perf_counter() - started:.2f} s")
    assert len(parsed.rows) == 200_000 + len(NSE_INDEX_NAMES)
    assert parsed.skipped == {}


# --- download ----------------------------------------------------------------------------------------------

PATHS = "/script-details/1.0/masterscrip/file-paths"
Make = Callable[..., BrokerContext]


def serve(server: Server, *, absolute: bool = True) -> None:
    base = f"{server.url}/prod"
    names = ["transformed-v1/nse_cm-v1.csv", *(f"transformed/{n}" for n in SAMPLES if n != "nse_cm.csv")]
    urls = [f"{base}/2026-11-20/{n}" if absolute else f"2026-11-20/{n}" for n in names]
    server.on(PATHS, says({"data": {"baseFolder": base, "filesPaths": urls}}))
    for name in names:
        content = SAMPLES[name.rsplit("/", 1)[-1].replace("-v1", "")]
        server.on(f"/prod/2026-11-20/{name}", Answer(200, content))


@pytest.mark.parametrize("absolute", [True, False])
def test_files_are_fetched_without_the_token_the_list_needs(
    server: Server, context: Make, session: BrokerSession, absolute: bool
) -> None:
    serve(server, absolute=absolute)
    source = KotakInstruments(context(), lambda: session, Transport())
    files = source.download()
    assert files == SAMPLES
    assert server.requests[0].headers["authorization"] == "app-token"
    for request in server.requests[1:]:
        assert "authorization" not in request.headers
    assert len(source.parse(files, TODAY).rows) == len(parse_files(SAMPLES, TODAY).rows)


def test_the_list_needs_no_login(server: Server, context: Make) -> None:
    def nobody() -> BrokerSession:
        raise LoginRequired("no session")

    serve(server)
    assert KotakInstruments(context(), nobody, Transport()).download() == SAMPLES


@pytest.mark.parametrize(
    "answer", [Answer(404, b""), Answer(400, b"InvalidArgument"), Answer(503, b"")], ids=range(3)
)
def test_one_missing_file_fails_the_whole_download(
    server: Server, context: Make, session: BrokerSession, answer: Answer
) -> None:
    serve(server)
    server.on("/prod/2026-11-20/transformed/mcx_fo.csv", answer)
    with pytest.raises(BrokerDown):
        KotakInstruments(context(), lambda: session, Transport(read_retries=0)).download()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says({"data": {}}), WireError),
        (Answer(200, b"<html>"), WireError),
        (says({"code": "900901", "message": "Invalid"}, 401), LoginRequired),
        (says({"data": {"baseFolder": "x", "filesPaths": []}}), BrokerDown),
    ],
    ids=range(4),
)
def test_a_list_that_is_none_is_an_error(
    server: Server, context: Make, session: BrokerSession, answer: Answer, kind: type[Exception]
) -> None:
    server.on(PATHS, answer)
    with pytest.raises(kind):
        KotakInstruments(context(), lambda: session, Transport()).download()
