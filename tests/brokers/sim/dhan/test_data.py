"""Quotes, candles, option chains and files through a real server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from brokers.clock import IST
from tests.brokers.sim.dhan.live import Broker, live


def failed(answer: tuple[int, Any], status: int, code: str) -> None:
    got, body = answer
    assert (got, body["status"], list(body["data"])) == (status, "failed", [code])


@live
async def test_quotes_of_several_segments_lack_the_unknown_id(broker: Broker) -> None:
    sbin = broker.listing("NSE", "SBIN")
    await broker.settle(3)
    market = broker.market(sbin)
    body = {"NSE_EQ": [sbin.token, 999_999], "IDX_I": [13]}
    status, answer = await broker.call("POST", "/v2/marketfeed/quote", body, pause=False)
    assert (status, answer["status"]) == (200, "success")
    assert set(answer["data"]["NSE_EQ"]) == {str(sbin.token)}
    quote = answer["data"]["NSE_EQ"][str(sbin.token)]
    assert quote["last_price"] == market.ltp_paise / 100
    assert quote["ohlc"]["close"] == market.prev_close_paise / 100
    assert [len(quote["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert quote["depth"]["buy"][0]["price"] == market.bids[0].price_paise / 100
    assert quote["depth"]["buy"][0]["price"] < quote["depth"]["sell"][0]["price"]
    assert quote["last_trade_time"].startswith("16/09/2026 1")
    assert quote["lower_circuit_limit"] < quote["last_price"] < quote["upper_circuit_limit"]
    assert quote["volume"] == market.volume
    index = answer["data"]["IDX_I"]["13"]
    assert index["last_price"] > 1000
    assert index["depth"]["buy"] == [{"quantity": 0, "orders": 0, "price": 0.0}] * 5


@live
async def test_ltp_and_ohlc_are_cuts_of_the_quote(broker: Broker) -> None:
    body = {"IDX_I": [13]}
    _, ltp = await broker.call("POST", "/v2/marketfeed/ltp", body)
    assert set(ltp["data"]["IDX_I"]["13"]) == {"last_price"}
    _, ohlc = await broker.call("POST", "/v2/marketfeed/ohlc", body)
    assert set(ohlc["data"]["IDX_I"]["13"]) == {"last_price", "ohlc"}
    assert set(ohlc["data"]["IDX_I"]["13"]["ohlc"]) == {"open", "close", "high", "low"}


@live
async def test_ids_as_text_are_814_and_more_than_1000_are_804(broker: Broker) -> None:
    for body in ({"NSE_EQ": ["3045"]}, {"NSE": [3045]}, {"NSE_EQ": 3045}, {}):
        failed(await broker.call("POST", "/v2/marketfeed/ltp", body), 400, "814")
    many = {"NSE_EQ": list(range(1001))}
    failed(await broker.call("POST", "/v2/marketfeed/ltp", many), 400, "804")


@live
async def test_one_quote_a_second_over_all_three_calls(broker: Broker) -> None:
    await broker.settle(3)
    body = {"IDX_I": [13]}
    assert (await broker.call("POST", "/v2/marketfeed/ltp", body, pause=False))[0] == 200
    failed(await broker.call("POST", "/v2/marketfeed/quote", body, pause=False), 429, "805")
    await broker.settle(1)
    assert (await broker.call("POST", "/v2/marketfeed/quote", body, pause=False))[0] == 200


def chart(start: str, end: str, **changes: Any) -> dict[str, Any]:
    return {
        "securityId": "13",
        "exchangeSegment": "IDX_I",
        "instrument": "INDEX",
        "fromDate": start,
        "toDate": end,
        "oi": False,
    } | changes


@live
async def test_daily_candles_end_before_to_date_and_carry_true_epochs(broker: Broker) -> None:
    body = chart("2026-09-01", "2026-09-04", expiryCode=0)
    status, candles = await broker.call("POST", "/v2/charts/historical", body)
    assert status == 200
    days = [datetime.fromtimestamp(t, IST) for t in candles["timestamp"]]
    assert [f"{day:%d %H:%M}" for day in days] == ["01 00:00", "02 00:00", "03 00:00"]
    assert {len(values) for values in candles.values()} == {3}
    assert all(isinstance(t, float) for t in candles["timestamp"])
    rows = zip(*(candles[key] for key in ("low", "open", "close", "high")), strict=True)
    assert all(low <= min(opened, close) <= max(opened, close) <= high for low, opened, close, high in rows)


@live
async def test_today_has_no_daily_candle_yet(broker: Broker) -> None:
    body = chart("2026-09-15", "2026-09-20")
    _, candles = await broker.call("POST", "/v2/charts/historical", body)
    assert [f"{datetime.fromtimestamp(t, IST):%d}" for t in candles["timestamp"]] == ["15"]


@live
async def test_intraday_candles_follow_ist_times_and_stop_at_the_finished_minute(broker: Broker) -> None:
    body = chart("2026-09-16 11:30:00", "2026-09-16 15:30:00", interval="5")
    status, candles = await broker.call("POST", "/v2/charts/intraday", body)
    assert status == 200
    times = [f"{datetime.fromtimestamp(t, IST):%H:%M}" for t in candles["timestamp"]]
    assert times == ["11:30", "11:35", "11:40", "11:45", "11:50", "11:55"]
    _, day = await broker.call("POST", "/v2/charts/intraday", chart("2026-09-15", "2026-09-15", interval=60))
    assert len(day["timestamp"]) == 24
    assert len(day["open_interest"]) == 24


@live
async def test_bad_chart_requests(broker: Broker) -> None:
    async def code(path: str, body: dict[str, Any]) -> tuple[int, str]:
        status, answer = await broker.call("POST", f"/v2/charts/{path}", body)
        return status, answer["errorCode"]

    long = chart("2026-01-01", "2026-06-01", interval="1")
    assert await code("intraday", long) == (400, "DH-905")
    assert await code("intraday", chart("2026-09-15", "2026-09-16", interval="3")) == (400, "DH-905")
    assert await code("historical", chart("15-09-2026", "2026-09-16")) == (400, "DH-905")
    assert await code("historical", chart("2026-09-01", "2026-09-02", securityId="99")) == (400, "DH-907")
    assert await code("historical", chart("2026-09-01", "2026-09-02", instrument="EQUITY")) == (400, "DH-907")


@live
async def test_option_chain_and_its_expiries(broker: Broker) -> None:
    under = {"UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I"}
    status, answer = await broker.call("POST", "/v2/optionchain/expirylist", under)
    assert (status, answer["status"]) == (200, "success")
    expiries = answer["data"]
    assert expiries == sorted(expiries)
    assert expiries
    status, answer = await broker.call("POST", "/v2/optionchain", under | {"Expiry": expiries[0]})
    assert status == 200
    strikes = answer["data"]["oc"]
    name, sides = next(iter(strikes.items()))
    assert name.endswith(".000000")
    assert set(sides) == {"ce", "pe"}
    assert sides["ce"]["security_id"] != sides["pe"]["security_id"]
    assert answer["data"]["last_price"] > 1000
    again = await broker.call("POST", "/v2/optionchain", under | {"Expiry": expiries[0]}, pause=False)
    failed(again, 429, "805")
    failed(await broker.call("POST", "/v2/optionchain", under | {"Expiry": "2020-01-01"}), 400, "811")
    failed(await broker.call("POST", "/v2/optionchain", under | {"Expiry": "soon"}), 400, "812")
    text = {"UnderlyingScrip": "13", "UnderlyingSeg": "IDX_I"}
    failed(await broker.call("POST", "/v2/optionchain/expirylist", text), 400, "814")


@live
async def test_a_bse_index_has_its_own_options(broker: Broker) -> None:
    body = {"UnderlyingScrip": 51, "UnderlyingSeg": "IDX_I"}
    status, answer = await broker.call("POST", "/v2/optionchain/expirylist", body)
    wanted = {
        x.expiry.isoformat()
        for x in broker.server.exchange.universe.listings
        if x.exchange == "BFO" and x.strike_paise and x.root == "SENSEX" and x.expiry
    }
    assert (status, set(answer["data"])) == (200, wanted)


@live
async def test_the_files_are_served_without_a_token(broker: Broker) -> None:
    for path, columns in (("api-scrip-master.csv", 16), ("api-scrip-master-detailed.csv", 33)):
        async with broker.http.get(f"{broker.url}/api-data/{path}") as response:
            text = await response.text()
        lines = text.splitlines()
        assert len(lines) == 1 + len(broker.server.exchange.universe.listings) + 3
        assert len(lines[0].split(",")) == columns
    async with broker.http.get(f"{broker.url}/v2/instrument/IDX_I") as response:
        rows = (await response.text()).splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"I"}
