"""The official client judges the simulated Kotak Neo: real process, real client, only hosts redirected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from brokers.sim import settings
from tests.clients import ROOT, client_python
from tests.midnight import not_over_midnight
from tests.ports import free_ports

pytestmark = [pytest.mark.client, pytest.mark.xdist_group("kotakneoapi")]

CREDENTIALS = settings.credentials("kotak", "judge")
UCC = CREDENTIALS["KOTAK_UCC"]
START_S, RUN_S = 30.0, 110.0
RUN_S = 30.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    not_over_midnight(RUN_S)
    (port,) = free_ports(1)
    home = tmp_path_factory.mktemp("home")
    command = [sys.executable, "-m", "brokers.sim", "--broker", "kotak"]
    command += ["--port", str(port), "--home", str(home)]
    log = home / "sim.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            wait(process, port, log)
            yield port
        finally:
            process.terminate()
            assert process.wait(10) == 0, log.read_text()


def wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the simulator ended at once: {log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_sim/health", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.05)
    pytest.fail(f"the simulator did not get ready: {log.read_text()}")


@pytest.fixture(scope="module")
def found(port: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client returned, call by call."""
    folder = tmp_path_factory.mktemp("client")
    command = [
        str(client_python("kotakneoapi")),
        str(Path(__file__).parent / "kotakneoapi_client.py"),
        str(port),
        UCC,
        CREDENTIALS["KOTAK_MOBILE_NUMBER"],
        CREDENTIALS["KOTAK_MPIN"],
        pyotp.TOTP(CREDENTIALS["KOTAK_TOTP_SECRET"]).now(),
        CREDENTIALS["BROKER_API_SECRET"],
    ]
    caches = {"HOME": str(folder), "PATH": os.defpath}  # the client keeps the master and holdings by day
    run = subprocess.run(
        command, cwd=folder, env=caches, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    results = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(results) == 1, run.stdout + run.stderr
    return dict(json.loads(results[0].removeprefix("RESULT ")))


def test_login_in_two_steps(found: dict[str, Any], port: int) -> None:
    login = found["login"]
    for refused in ("wrong", "without_country", "wrong_pin"):
        assert login[refused]["errorCode"] == "401", refused
    assert "2fa" in login["early"]["Error Message"]
    view, trade = login["view"]["data"], login["trade"]["data"]
    assert (view["kType"], trade["kType"], trade["ucc"]) == ("View", "Trade", UCC)
    assert view["sid"] != trade["sid"]
    base = f"http://127.0.0.1:{port}"
    assert login["urls"] == [base, f"{base}/apifeed", f"{base}/realtime"]
    assert login["ip"]["data"][0]["ip"] == "127.0.0.1"


def test_empty_books_are_not_ok(found: dict[str, Any]) -> None:
    assert {answer["stCode"] for answer in found["empty"].values()} == {5203}


def test_the_scrip_master_is_searched(found: dict[str, Any]) -> None:
    master = found["instruments"]
    assert len(master["files"]["filesPaths"]) == 7
    assert master["nse_cm"].endswith("/transformed-v1/nse_cm-v1.csv")
    (sbin,) = master["sbin"]
    assert (sbin["pSymbol"], sbin["pSymbolName"], sbin["dTickSize"]) == (3045, "SBIN", 5)
    (option,) = master["option"]
    assert (option["pSymbolName"], option["pInstType"], option["lLotSize"]) == ("NIFTY", "OPTIDX", 65)
    assert option["pTrdSymbol"].endswith("CE")
    assert {row["pTrdSymbol"][-3:] for row in master["futures"]} == {"FUT"}
    assert master["bse_options"] > 0


def test_expiries_and_chain(found: dict[str, Any]) -> None:
    days = found["instruments"]["expiries"]["data"]["expiries"]
    chain = found["instruments"]["chain"]["data"]
    assert chain["expiry"] == days[0]
    assert len(chain["chain"]) == 10


def test_quotes(found: dict[str, Any]) -> None:
    quotes = found["quotes"]
    nse, bse, index = quotes["all"]
    assert [q["exchange_token"] for q in quotes["all"]] == ["3045", "500112", "Nifty 50"]
    assert (nse["display_symbol"], bse["display_symbol"]) == ("SBIN-EQ", "SBIN")
    for row in quotes["all"]:
        assert float(row["ohlc"]["low"]) <= float(row["ltp"]) <= float(row["ohlc"]["high"])
    bids, asks = nse["depth"]["buy"], nse["depth"]["sell"]
    assert float(bids[0]["price"]) < float(asks[0]["price"])
    assert [len(bids), len(asks)] == [5, 5]
    assert float(index["ohlc"]["close"]) > 0
    assert quotes["ltp"][0].keys() == {"exchange_token", "display_symbol", "exchange", "ltp"}
    assert quotes["unknown"]["stCode"] == 1009
    assert "max value to 50" in quotes["too_many"]["emsg"]


def test_candles(found: dict[str, Any]) -> None:
    history = found["history"]
    for name in ("minutes", "days", "weeks"):
        assert history[name]["status"] == "success", name
        for _, opened, high, low, closed, volume, oi in history[name]["data"]["candles"]:
            assert low <= min(opened, closed)
            assert high >= max(opened, closed)
            assert isinstance(volume, int)
            assert oi == 0
        # nobody trades an index
        traded = any(row[5] for row in history[name]["data"]["candles"])
        assert traded == (name != "days"), name
    stamps = [row[0] for row in history["minutes"]["data"]["candles"]]
    assert stamps == sorted(stamps)
    assert len(history["days"]["data"]["candles"]) == 3
    assert history["days"]["data"]["candles"][-1][0] == f"{history['today']}T09:15:00+0530"
    for fault in ("too_long", "bad_interval"):
        assert history[fault]["status"] == "ERROR"
        assert history[fault]["fault"]["code"] == 400


def test_a_limit_order_is_placed_modified_and_cancelled(found: dict[str, Any]) -> None:
    orders = found["orders"]
    order_id = orders["placed"]["nOrdNo"]
    for answer in ("placed", "modified", "cancelled"):
        assert orders[answer] == {"nOrdNo": order_id, "stat": "Ok", "stCode": 200}
    opened, changed, gone = orders["opened"], orders["changed"], orders["gone"]
    assert (opened["ordSt"], opened["prc"], opened["qty"]) == ("open", orders["price"], 2)
    assert opened["GuiOrdId"] == "judge 1"
    assert (changed["prc"], changed["qty"]) == (orders["lower"], 3)
    assert changed["GuiOrdId"] == "judge 1-ADMINAPI"
    assert (gone["ordSt"], gone["cnlQty"]) == ("cancelled", 3)
    assert orders["cancelled_again"]["stCode"] == 1006
    words = [row["ordSt"] for row in orders["history"]["data"]["data"]]
    assert words == [
        "cancelled",
        "cancel pending",
        "open",
        "modified",
        "modify pending",
        "modify validation pending",
        "open",
        "open pending",
        "validation pending",
        "put order req received",
    ]
    assert order_id in {row["nOrdNo"] for row in orders["book"]["data"]}


def test_stops(found: dict[str, Any]) -> None:
    orders = found["orders"]
    assert (orders["stop"]["ordSt"], orders["stop"]["prcTp"]) == ("trigger pending", "SL")
    assert orders["stop_market"]["emsg"] == "Market order with Algo Id not allowed"
    assert orders["unknown_symbol"]["stCode"] == 1009


def test_a_market_order_fills_inside_its_band(found: dict[str, Any]) -> None:
    money, row = found["money"], found["money"]["filled"]
    assert (row["ordSt"], row["prcTp"], row["fldQty"]) == ("complete", "L", 5)
    assert abs(float(row["prc"]) / money["ltp"] - 1) < 0.01
    assert float(row["avgPrc"]) <= float(row["prc"])
    trades = [t for t in money["trades"]["data"] if t["nOrdNo"] == row["nOrdNo"]]
    assert sum(t["fldQty"] for t in trades) == 5
    assert {t["tok"] for t in trades} == {""}
    assert money["modify_filled"]["stCode"] == 1021
    assert money["modify_filled"]["status_code"] == 400


def test_the_client_s_own_arithmetic_agrees(found: dict[str, Any]) -> None:
    money = found["money"]
    view = money["sdk_view"]
    assert view["pnlCalculationError"] is None
    assert view["netQty"] == 5
    assert view["averagePrice"] == pytest.approx(float(money["filled"]["avgPrc"]), abs=0.01)


def test_funds_holdings_and_margin(found: dict[str, Any]) -> None:
    money = found["money"]
    assert (money["limits"]["stat"], money["margin"]["data"]["stat"]) == ("Ok", "Ok")
    assert 0 < float(money["limits"]["MarginUsed"]) < float(money["limits"]["Net"])
    assert float(money["margin"]["data"]["ordMrgn"]) >= 9000
    for holding in money["holdings"]["data"]:
        assert holding["holdingCost"] == pytest.approx(holding["averagePrice"] * holding["quantity"])


def test_the_market_feed_is_live_for_every_subscription(found: dict[str, Any]) -> None:
    feed = found["feed"]
    option = f"scrip 8 nse_fo|{feed['option']}"
    shares = {f"scrip 4 nse_cm|{token}" for token in ("3045", "1594")}
    index, depth, lite = "index  nse_cm|Nifty 50", "scrip 8 nse_cm|3045", "scrip_lite  nse_cm|1594"
    first = feed["first"]
    assert first.keys() >= shares | {index, depth, lite, option}
    for key in (*shares, index):
        assert feed["counts"][key] >= 4
        assert len(set(feed["prices"][key])) > 1, "the market does not move"
    symbols = {key: row.get("trading_symbol") for key, row in first.items()}
    assert symbols["scrip 4 nse_cm|3045"] == "SBIN-EQ"
    assert symbols[index] == "NIFTY"
    assert symbols[option] == feed["option_symbol"]
    book = first[depth]
    assert [len(book["buy"]), len(book["sell"])] == [5, 5]
    assert book["buy"][0]["price"] < book["sell"][0]["price"]
    assert book["buy"] == sorted(book["buy"], key=lambda level: -level["price"])
    for key in (*shares, index):
        assert first[key]["low_price"] <= first[key]["last_traded_price"] <= first[key]["high_price"]
    assert first[index]["multiplier"] == 1.0
    statuses = {
        row["exchange_segment"]: row["status"] for row in first.values() if row["type"] == "market_status"
    }
    assert statuses["nse_cm"] == "Market open"
    assert feed["dividers"]["3"] == 10_000_000


def test_the_order_feed_tells_every_station(found: dict[str, Any]) -> None:
    feed = found["order_feed"]
    assert feed["ack"] == {"ak": "ok", "type": "cn", "task": "cn", "msg": "connected"}
    words = [row["ordSt"] for row in feed["mine"]]
    assert words[:4] == ["put order req received", "validation pending", "open pending", "open"]
    assert words[-2:] == ["complete", "complete"]
    assert feed["mine"][-2]["avgPrc"] == "0.00"
    assert float(feed["mine"][-1]["avgPrc"]) > 0
    received = [row["updRecvTm"] for row in feed["mine"]]
    assert received == sorted(set(received))
    assert len(feed["known"]) >= 3  # the day's earlier orders, told on connecting
    assert feed["positions"][-1]["flBuyQty"] == "6"
