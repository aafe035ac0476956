"""Quotes, depth, history and the symbol services in OpenAlgo's shapes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from brokers.clock import IST
from brokers.model import InstrumentKey
from gateway.api.present import expiry_text
from tests.gateway.api.rig import Rig, running


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


def expiries() -> list[str]:
    today = datetime.now(IST).date()
    return [expiry_text(today + timedelta(days=days)) for days in (7, 35)]


def test_a_quote(rig):
    answer = rig.post("quotes", symbol="SBIN", exchange="NSE")
    assert answer.json["data"] == {
        "ltp": 801.5,
        "open": 799.0,
        "high": 805.0,
        "low": 798.25,
        "prev_close": 800.1,
        "bid": 801.45,
        "ask": 801.55,
        "bid_qty": 10,
        "ask_qty": 5,
        "volume": 123456,
        "oi": 0,
    }


def test_an_unknown_symbol_is_400_for_quotes_and_404_for_symbol(rig):
    for path, status in (("quotes", 400), ("depth", 400), ("symbol", 404)):
        answer = rig.post(path, symbol="SBINN", exchange="NSE")
        assert (answer.status_code, answer.json["code"]) == (status, "SYMBOL_NOT_FOUND"), path
        assert answer.json["suggestions"][0] == "SBIN"
        assert answer.json["message"].startswith("Symbol 'SBINN' not found for exchange 'NSE'. Did you mean")


def test_the_brokers_display_name_finds_it_in_any_case(rig):
    rows = rig.post("search", query="NIFTY FUT", exchange="NFO").json["data"]
    row = min(rows, key=lambda r: r["token"])
    day = row["expiry"][:6].replace("-", " ")
    for name in (f"Nifty {day} fut", f"  nifty   {day.lower()} FUT "):
        body = rig.post("symbol", symbol=name, exchange="NFO").json
        assert body["data"]["symbol"] == row["symbol"]
        assert rig.post("quotes", symbol=name, exchange="NFO").status_code == 200
    many = rig.post("multiquotes", symbols=[{"symbol": name, "exchange": "NFO"}]).json
    assert [r["symbol"] for r in many["results"]] == [row["symbol"]]
    assert rig.post("symbol", symbol="Nifty fut", exchange="NFO").status_code == 404


def test_multi_quotes_are_results_with_the_invalid_first(rig):
    wanted = [{"symbol": s, "exchange": "NSE"} for s in ("SBIN", "NOPE", "TCS")]
    body = rig.post("multiquotes", symbols=wanted).json
    assert "data" not in body
    assert [row["symbol"] for row in body["results"]] == ["NOPE", "SBIN", "TCS"]
    assert "not found" in body["results"][0]["error"]
    assert body["results"][1]["data"]["ltp"] == 801.5


def test_multi_quotes_with_nothing_valid_is_a_400(rig):
    answer = rig.post("multiquotes", symbols=[{"symbol": "NOPE", "exchange": "NSE"}])
    assert answer.status_code == 400
    assert answer.json["invalid_symbols"][0]["symbol"] == "NOPE"


def test_depth_has_five_levels_each_side(rig):
    data = rig.post("depth", symbol="SBIN", exchange="NSE").json["data"]
    assert len(data["bids"]) == len(data["asks"]) == 5
    assert data["bids"][0] == {"price": 801.45, "quantity": 10}
    assert data["asks"][1] == {"price": 0, "quantity": 0}
    assert (data["totalbuyqty"], data["totalsellqty"], data["ltq"]) == (30, 5, 3)


def test_history_is_in_epoch_seconds_and_rounded(rig):
    body = {"symbol": "SBIN", "exchange": "NSE", "interval": "D"}
    answer = rig.post("history", **body, start_date="2026-11-20", end_date="2026-11-20")
    row = answer.json["data"][0]
    assert row == {
        "timestamp": 1795132800,
        "open": 100.0,
        "high": 101.0,
        "low": 99.5,
        "close": 100.5,
        "volume": 1200,
        "oi": 7,
    }


def test_intervals_are_grouped_and_only_those_history_takes(rig):
    data = rig.post("intervals").json["data"]
    assert data["minutes"] == ["1m", "5m", "15m"]
    assert data["hours"] == ["1h"]
    assert data["days"] == ["D"]
    assert data["seconds"] == data["weeks"] == data["months"] == []


def test_a_symbol_row(rig):
    data = rig.post("symbol", symbol="SBIN", exchange="NSE").json["data"]
    assert isinstance(data.pop("id"), int)
    assert data == {
        "symbol": "SBIN",
        "brsymbol": "SBIN-B",
        "name": "SBIN LTD",
        "exchange": "NSE",
        "brexchange": "NSE_EQ",
        "token": "100",
        "expiry": "",
        "strike": 0.0,
        "lotsize": 1,
        "instrumenttype": "EQ",
        "tick_size": 0.05,
        "freeze_qty": 1,
    }


def test_search_ranks_and_says_how_many(rig):
    body = rig.post("search", query="sbi", exchange="NSE").json
    assert body["message"] == f"Found {len(body['data'])} matching symbols"
    assert {row["symbol"] for row in body["data"]} == {"SBIN", "SBICARD"}
    assert "id" not in body["data"][0]
    none = rig.post("search", query="zzz").json
    assert (none["status"], none["data"], none["message"]) == ("success", [], "No matching symbols found")
    assert rig.post("search", query="  ").status_code == 400


def test_expiries_ascend(rig):
    body = {"symbol": "NIFTY", "exchange": "NFO", "instrumenttype": "futures"}
    assert rig.post("expiry", **body).json["data"] == expiries()
    none = rig.post("expiry", **{**body, "instrumenttype": "options"})
    assert (none.status_code, none.json["data"]) == (200, [])
    cash = rig.post("expiry", **{**body, "exchange": "NSE"})
    assert cash.status_code == 400


def instruments(rig: Rig, **query: str):
    return rig.app.test_client().get("/api/v1/instruments", query_string={"apikey": rig.key, **query})


def test_instruments_of_one_exchange_and_of_all(rig):
    everything = json.loads(instruments(rig).get_data())
    assert everything["status"] == "success"
    assert everything["message"] == f"Found {len(rig.source.rows)} instruments"
    assert len(everything["data"]) == len(rig.source.rows)
    derivatives = json.loads(instruments(rig, exchange="NFO").get_data())["data"]
    assert [row["expiry"] for row in derivatives] == expiries()
    assert set(derivatives[0]) == {
        "symbol",
        "brsymbol",
        "name",
        "exchange",
        "brexchange",
        "token",
        "expiry",
        "strike",
        "lotsize",
        "instrumenttype",
        "tick_size",
    }


def test_instruments_as_csv(rig):
    answer = instruments(rig, exchange="NSE", format="csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == "attachment; filename=instruments_NSE.csv"
    rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True))))
    assert rows[0][:3] == ["symbol", "brsymbol", "name"]
    assert len(rows) == 1 + sum(row.key.exchange == "NSE" for row in rig.source.rows)


def test_a_price_of_the_broker_is_rounded_to_the_decimals_of_its_tick(rig):
    row = rig.parts.instruments.by_key(InstrumentKey("NSE", "SBIN"))
    assert row is not None
    assert str(row.tick_size) == "0.05"
