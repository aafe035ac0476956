"""The instrument table answers by any name, and a swap shows all of the new rows or none."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.clock import ManualClock
from brokers.errors import StoreError, WireError
from brokers.model import InstrumentKey, Venue
from gateway.store import engine
from gateway.store.instruments import InstrumentStore, SyncReport
from tests.gateway.store.rows import DEC, NOV, TODAY, cash, market

CLOCK = ManualClock(datetime(2026, 11, 20, 3, tzinfo=UTC))


@pytest.fixture
def database(tmp_path):
    database = engine.open(tmp_path / "one.db", Venue.SIM)
    yield database
    database.close()


@pytest.fixture
def store(database):
    store = InstrumentStore(database, CLOCK)
    store.swap(market(), TODAY)
    return store


def symbols(found):
    return [i.key.symbol for i in found]


def test_a_row_comes_back_as_it_went_in(store):
    for instrument in market():
        assert store.by_key(instrument.key) == instrument


def test_by_token_and_broker_symbol_need_their_segment(store):
    nifty = store.by_key(InstrumentKey("NFO", "NIFTY24NOV2624000CE"))
    assert store.by_token("NSE_FNO", nifty.token) == nifty
    assert store.by_token("NSE_EQ", nifty.token) is None
    assert store.by_broker_symbol("NSE_FNO", "NIFTY-Nov2026-24000-CE") == nifty
    assert store.by_broker_symbol("NSE_EQ", "NIFTY-Nov2026-24000-CE") is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ICICIGI 28 OCT 1860 CALL", "NFO:ICICIGI28OCT271860CE"),
        ("  icicigi 28  oct 1860 call ", "NFO:ICICIGI28OCT271860CE"),
        ("nifty24nov2624000ce", "NFO:NIFTY24NOV2624000CE"),
        ("Reliance", "NSE:RELIANCE"),
        ("bse:reliance", "BSE:RELIANCE"),
        ("State Bank of India", "NSE:SBIN"),
        ("nifty", "NSE_INDEX:NIFTY"),
    ],
)
def test_find_takes_symbols_and_display_names_in_any_case(store, text, key):
    assert str(store.find(text).key) == key


def test_find_within_an_exchange_stays_there(store):
    assert store.find("RELIANCE", "BSE").token == "500325"
    assert store.find("SBIN", "BSE") is None
    assert store.find("no such thing") is None


@pytest.mark.parametrize(
    ("symbol", "exchange", "expected"),
    [
        ("NIFTY24NOV2624010CE", "NFO", ["NIFTY24NOV2624000CE", "NIFTY24NOV2624050CE", "NIFTY24NOV2624100CE"]),
        ("NFITY24NOV2623900PE", "NFO", ["NIFTY24NOV2623900PE", "NIFTY24NOV2624000PE", "NIFTY24NOV2624050PE"]),
        ("NIFTY31DEC26FUT", "NFO", ["NIFTY29DEC26FUT", "NIFTY24NOV26FUT"]),
        ("RELAINCE", "NSE", ["RELIANCE"]),
        ("SBI", "NSE", ["SBIN", "SBICARD"]),
    ],
)
def test_nearest_names_what_was_meant(store, symbol, exchange, expected):
    found = store.nearest(symbol, exchange)
    assert len(found) == 3
    assert found[: len(expected)] == expected


def test_nearest_on_an_empty_exchange_is_nothing(store):
    assert store.nearest("GOLD", "MCX") == []
    assert store.nearest("EURINR", "CRYPTO") == []


def test_search_ands_its_terms_over_every_column(store):
    assert symbols(store.search("nifty 24050 pe")) == ["NIFTY24NOV2624050PE", "NIFTY29DEC2624050PE"]
    assert symbols(store.search("bank india")) == ["SBIN"]
    assert symbols(store.search("91860")) == ["ICICIGI28OCT271860CE"]
    assert symbols(store.search("28 oct call")) == ["ICICIGI28OCT271860CE"]
    assert store.search("nifty reliance") == []
    assert store.search("  ") == []


def test_search_ranks_exact_then_prefix_then_contained(store):
    assert symbols(store.search("NIFTY"))[0] == "NIFTY"
    assert symbols(store.search("sbi"))[:2] == ["SBIN", "SBICARD"]
    found = symbols(store.search("i"))
    assert found.index("INFY") < found.index("SBIN")


def test_search_keeps_to_its_exchange_and_limit(store):
    assert [i.key.exchange for i in store.search("reliance", "BSE")] == ["BSE"]
    assert len(store.search("nifty", limit=4)) == 4
    assert store.search("%") == []


def test_expiries_chain_and_nearest_future(store):
    assert store.expiries("nifty", "NFO", "options", TODAY) == [NOV, DEC]
    assert store.expiries("NIFTY", "NFO", "futures", NOV + timedelta(days=1)) == [DEC]
    assert symbols(store.chain("NIFTY", "NFO", NOV))[:3] == [
        "NIFTY24NOV2623900CE",
        "NIFTY24NOV2623900PE",
        "NIFTY24NOV2624000CE",
    ]
    assert store.option("NIFTY", "NFO", DEC, Decimal(24050), "PE").token == "50005"
    assert store.option("NIFTY", "NFO", DEC, Decimal(24051), "PE") is None
    assert store.future("NIFTY", "NFO", TODAY).expiry == NOV
    assert store.future("NIFTY", "NFO", NOV + timedelta(days=1)).expiry == DEC


def test_underlyings_are_what_has_options(store):
    listed = {i.name for i in market() if i.strike and i.key.exchange == "NFO"}
    assert "NIFTY" in listed
    assert store.underlyings("NFO") == sorted(listed)
    assert store.underlyings("NSE") == []


def test_a_swap_counts_what_it_did(store):
    rows = [r for r in market() if r.expiry != NOV and r.key.symbol != "SBIN"]
    rows = [replace(r, lot_size=75) if r.key.symbol == "NIFTY29DEC26FUT" else r for r in rows]
    rows.append(cash("ZOMATO", "5097"))
    assert store.swap(rows, NOV + timedelta(days=1)) == SyncReport(1, 1, 10, len(rows))
    assert store.count() == len(rows)
    assert store.synced_at() == CLOCK.now().isoformat()


def test_what_left_the_file_still_resolves_and_is_flagged(store):
    gone = InstrumentKey("NFO", "NIFTY24NOV2624000CE")
    token = store.by_key(gone).token
    assert not store.by_key(gone).expired
    store.swap([r for r in market() if r.expiry != NOV], NOV + timedelta(days=1))
    assert store.by_key(gone).expired
    assert store.by_token("NSE_FNO", token).expired
    assert store.find("nifty24nov2624000ce").expired
    assert gone.symbol not in symbols(store.rows())
    assert gone.symbol not in symbols(store.search("NIFTY"))
    # and again when the next file does not have it either
    store.swap([r for r in market() if r.expiry != NOV], NOV + timedelta(days=2))
    assert store.by_key(gone).expired


def test_a_passed_contract_left_in_the_file_is_archived(store):
    report = store.swap(market(), NOV + timedelta(days=1))
    assert report.expired == 9
    assert store.by_key(InstrumentKey("NFO", "NIFTY24NOV26FUT")).expired


def test_a_row_that_comes_back_is_tradable_again(store):
    store.swap([r for r in market() if r.key.symbol != "SBIN"], TODAY)
    assert store.by_key(InstrumentKey("NSE", "SBIN")).expired
    store.swap(market(), TODAY)
    assert not store.by_key(InstrumentKey("NSE", "SBIN")).expired


def test_a_token_given_to_a_new_contract_means_the_new_one(store):
    reused = [r for r in market() if r.expiry != NOV]
    reused.append(
        replace(next(r for r in market() if r.expiry == NOV), key=InstrumentKey("NFO", "NEW"), expiry=DEC)
    )
    store.swap(reused, NOV + timedelta(days=1))
    assert store.by_token("NSE_FNO", reused[-1].token).key.symbol == "NEW"


def many(count: int, exchange: str = "NSE"):
    return [cash(f"S{n:05d}", str(n), exchange) for n in range(count)]


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ([], "no row"),
        (many(99), "less than half"),
        (many(150, "NSE"), "no row of BSE"),
    ],
)
def test_a_suspicious_file_leaves_the_old_table(database, new, why):
    store = InstrumentStore(database, CLOCK)
    store.swap(many(100) + many(100, "BSE"), TODAY)
    with pytest.raises(WireError, match=why):
        store.swap(new, TODAY)
    assert store.count() == 200
    assert store.by_key(InstrumentKey("BSE", "S00001")) is not None
    assert store.swap(many(100) + many(1, "BSE"), TODAY).expired == 99


def test_rows_that_fail_midway_leave_the_old_table_and_the_next_swap_works(store):
    def torn():
        yield from many(3000)
        raise WireError("line 3001 is cut")

    with pytest.raises(WireError, match="cut"):
        store.swap(torn(), TODAY)
    assert store.count() == len(market())
    assert store.swap(market(), TODAY) == SyncReport(0, 0, 0, len(market()))


def test_only_one_swap_at_a_time(store):
    entered, leave = threading.Event(), threading.Event()

    def slow():
        entered.set()
        leave.wait(10)
        yield from market()

    first = threading.Thread(target=store.swap, args=(slow(), TODAY))
    first.start()
    entered.wait(10)
    with pytest.raises(StoreError, match="already running"):
        store.swap(market(), TODAY)
    leave.set()
    first.join()


def test_readers_see_the_old_or_the_new_table_never_a_mixture(database):
    """Version 1 and 2 differ in every row; a snapshot must hold one of them, whole."""
    store = InstrumentStore(database, CLOCK)
    versions = [[replace(r, lot_size=v) for r in many(5000)] for v in (1, 2)]
    store.swap(versions[0], TODAY)
    seen: list[tuple[int, set[int]]] = []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            lots = [i.lot_size for i in store.rows()]
            seen.append((len(lots), set(lots)))

    reader = threading.Thread(target=read)
    reader.start()
    for version in (1, 0, 1):
        store.swap(versions[version], TODAY)
    stop.set()
    reader.join()
    assert seen
    assert all(count == 5000 and len(lots) == 1 for count, lots in seen), seen


def test_another_process_sees_a_swap(store, database, monkeypatch):
    reader_database = engine.open(database.path, Venue.SIM, read_only=True)
    reader = InstrumentStore(reader_database, CLOCK)
    monkeypatch.setattr("gateway.store.instruments.SERIAL_CHECK_S", 0.0)
    key = InstrumentKey("NSE", "SBIN")
    assert reader.by_key(key).lot_size == 1
    store.swap([replace(r, lot_size=7) if r.key == key else r for r in market()], TODAY)
    assert reader.by_key(key).lot_size == 7
    reader_database.close()


def test_the_table_survives_a_restart(tmp_path):
    for expected in (0, len(market())):
        database = engine.open(tmp_path / "again.db", Venue.SIM)
        store = InstrumentStore(database, CLOCK)
        assert store.count() == expected
        store.swap(market(), date(2026, 11, 20))
        database.close()
