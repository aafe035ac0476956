"""Quotes, scrip master files, candles, expiries and option chain through a real server."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from brokers.sim.exchange.types import SimCandle
from brokers.sim.kotak import market, master
from tests.brokers.sim.kotak.harness import PLAIN, Sim, in_sim

QUOTES = "script-details/1.0/quotes/neosymbol"
HISTORY = "market-data/1.0/historical/details"


@pytest.mark.parametrize("path", market.QUOTE_PATHS)
@in_sim
async def test_quotes_are_a_bare_array(sim: Sim, path: str):
    status, rows = await sim.get(f"{path}/nse_cm|3045,nse_cm|Nifty%2050/all", PLAIN)
    assert status == 200
    assert [r["exchange_token"] for r in rows] == ["3045", "Nifty 50"]
    assert float(rows[0]["ltp"]) == sim.ltp("NSE", "SBIN")
    status, again = await sim.get(f"{path}/nse_cm%7C3045%2Cnse_cm%7CNifty%2050/ltp", PLAIN)
    assert [r["ltp"] for r in again] == [r["ltp"] for r in rows]


@in_sim
async def test_quote_refusals(sim: Sim):
    _, answer = await sim.get(f"{QUOTES}/nse_cm|999999999/all", PLAIN)
    assert (answer["stat"], answer["stCode"]) == ("Not_Ok", 1009)
    _, rows = await sim.get(f"{QUOTES}/nse_cm|999999999,nse_cm|3045/all", PLAIN)
    assert [r["exchange_token"] for r in rows] == ["3045"]
    status, answer = await sim.get(f"{QUOTES}/{','.join(['nse_cm|3045'] * 51)}/ltp", PLAIN)
    assert status == 400
    assert "max value to 50" in answer["emsg"]
    assert (await sim.get(f"{QUOTES}/{','.join(['nse_cm|3045'] * 50)}/ltp", PLAIN))[0] == 200
    assert (await sim.get(f"{QUOTES}/nse_cm|3045/nonsense", PLAIN))[1]["stCode"] == 5202
    assert (await sim.get(f"{QUOTES}/nse_cm|3045/all", {"x": "y"}))[0] == 400
    assert (await sim.get(f"{QUOTES}/nse_cm|3045/all", {"Authorization": "wrong"}))[0] == 401


@in_sim
async def test_quotes_are_limited_per_second(sim: Sim):
    statuses = [(await sim.get(f"{QUOTES}/nse_cm|3045/ltp", PLAIN))[0] for _ in range(26)]
    assert statuses == [200] * 25 + [429]
    assert (await sim.get(market.MASTER_PATHS[0], PLAIN))[0] == 200


@pytest.mark.parametrize("path", market.MASTER_PATHS)
@in_sim
async def test_the_master_is_listed_and_public(sim: Sim, path: str):
    _, answer = await sim.get(path, PLAIN)
    files = answer["data"]["filesPaths"]
    assert answer["data"]["baseFolder"] == f"{sim.base}/wso2-scripmaster/v1/prod"
    url = next(f for f in files if "nse_cm" in f)
    assert url.endswith("/2026-11-20/transformed-v1/nse_cm-v1.csv")
    status, text = await sim.get(url.removeprefix(sim.base + "/"), {"Accept": "*/*"})
    assert status == 200
    assert text.startswith(master.HEADER + "\n")
    status, text = await sim.get(url.removeprefix(sim.base + "/"), PLAIN)
    assert status == 400
    assert "InvalidArgument" in text
    yesterday = url.replace("2026-11-20", "2026-11-19").removeprefix(sim.base + "/")
    assert (await sim.get(yesterday, {"Accept": "*/*"}))[0] == 403
    async with sim.http.head(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, url.removeprefix(sim.base))


def query(**changes: str) -> str:
    terms = {"neosymbol": "nse_cm|3045", "interval": "5min", "fromdate": "2026-11-19", "todate": "2026-11-20"}
    return HISTORY + "?" + "&".join(f"{k}={v}" for k, v in (terms | changes).items())


@in_sim
async def test_candles(sim: Sim):
    status, answer = await sim.get(query(), PLAIN)
    assert (status, answer["status"], answer["interval"]) == (200, "success", "5min")
    candles = answer["data"]["candles"]
    assert candles[0][0] == "2026-11-19T00:00:00+0530"
    assert candles[-1][0] == "2026-11-20T11:00:00+0530"  # nothing from the future
    assert all(len(c) == 7 and c[3] <= min(c[1], c[4]) and c[2] >= max(c[1], c[4]) for c in candles)
    assert candles[-1][4] == sim.ltp("NSE", "SBIN")
    assert {c[6] for c in candles} == {0}
    _, days = await sim.get(query(interval="D", fromdate="2026-11-18"), PLAIN)
    stamps = [c[0] for c in days["data"]["candles"]]
    assert stamps[-1] == "2026-11-20T09:15:00+0530"
    assert stamps[0] == "2026-11-18T00:00:00+0530"
    for token in ("Nifty%2050", "26000"):
        status, _ = await sim.get(query(neosymbol=f"nse_cm|{token}"), PLAIN)
        assert status == 200


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"interval": "2min"}, "Invalid interval value"),
        ({"fromdate": "20-11-2026"}, "Invalid date format"),
        ({"fromdate": "2026-11-31"}, "Invalid date format"),
        ({"fromdate": "2026-11-21"}, "after todate"),
        ({"fromdate": "2026-10-21"}, "30 days"),
        ({"interval": "15min", "fromdate": "2026-09-21"}, "60 days"),
        ({"interval": "60min", "fromdate": "2026-08-22"}, "90 days"),
        ({"interval": "D", "fromdate": "2026-05-24"}, "180 days"),
        ({"fromdate": "2021-11-20", "todate": "2021-11-20"}, "5 years"),
        ({"neosymbol": "mcx_fo|1"}, "segment"),
        ({"neosymbol": "nse_cm|999999999"}, "No data found"),
        ({"fromdate": "2026-11-21", "todate": "2026-11-22"}, "No data found"),
        ({"neosymbol": ""}, "Missing required parameter"),
    ],
)
@in_sim
async def test_candle_faults(sim: Sim, change: dict[str, str], text: str):
    status, answer = await sim.get(query(**change), PLAIN)
    assert (status, answer["status"], answer["fault"]["code"]) == (400, "ERROR", 400)
    assert text in answer["fault"]["message"]


@pytest.mark.parametrize(
    ("interval", "first"),
    [("1min", "2026-10-22"), ("10min", "2026-09-22"), ("30min", "2026-08-23"), ("W", "2026-05-25")],
)
@in_sim
async def test_the_longest_ranges_are_served(sim: Sim, interval: str, first: str):
    assert (await sim.get(query(interval=interval, fromdate=first), PLAIN))[0] == 200


def test_the_oldest_day():
    assert market.oldest(date(2026, 11, 20)) == date(2021, 11, 21)
    assert market.oldest(date(2028, 2, 29)) == date(2023, 3, 1)


def bar(day: int, **prices: int) -> SimCandle:
    values = {"open_paise": 10, "high_paise": 20, "low_paise": 5, "close_paise": 15, "volume": 1, "oi": 0}
    return SimCandle(opens_at=datetime(2026, 11, day, 4, tzinfo=UTC), **(values | prices))


def test_weeks_are_joined_days():
    days = [bar(19), bar(20, high_paise=30, close_paise=12), bar(23, open_paise=11)]
    first, second = market.weekly(days)
    assert (first.open_paise, first.high_paise, first.low_paise, first.close_paise) == (10, 30, 5, 12)
    assert (first.volume, first.opens_at.day, second.open_paise) == (2, 19, 11)


@in_sim
async def test_expiries_and_option_chain(sim: Sim):
    base = "market-data/1.0/watchlist"
    _, answer = await sim.get(f"{base}/expiries?exchange=nse_fo&underlying=NIFTY", PLAIN)
    days = answer["data"]["expiries"]
    assert days == sorted(days)
    assert days[0] >= "2026-11-20"
    path = f"{base}/option-chain?exchange=nse_fo&underlying=NIFTY"
    _, answer = await sim.get(f"{path}&count=10", PLAIN)
    chain = answer["data"]["chain"]
    assert (answer["data"]["expiry"], len(chain)) == (days[0], 10)
    assert float(chain[0]["CE"]["ltp"]) > 0
    assert chain[0]["PE"]["trading_symbol"].startswith("NIFTY26")
    assert (await sim.get(f"{path}&count=7", PLAIN))[0] == 400
    assert (await sim.get(f"{base}/option-chain?exchange=nse_fo&underlying=NOPE", PLAIN))[0] == 400
