"""Every method of the unmodified SDK against both instances, and its webhook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients import client_python
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("sdk_all")]
BOTH = ("kotak", "dhan")
SCRIPT = Path(__file__).with_name("sdk_all.py")
LISTED = json.loads(
    (Path(__file__).parents[1] / "gateway" / "api" / "data" / "openalgo-endpoints.json").read_text()
)
METHODS = {row["sdk_method"]: row["path"] for row in LISTED if row.get("sdk_method")}
KEYS = {row["sdk_method"]: row["response_keys"] for row in LISTED if row.get("sdk_method")}
FEED = {
    "connect": True,
    "disconnect": None,
    **{f"{verb}_{kind}": True for verb in ("subscribe", "unsubscribe") for kind in ("ltp", "quote", "depth")},
}
READ = ("get_ltp", "get_quotes", "get_depth")
SUCCEED = sorted(set(METHODS) - {"telegram"})


def run(fleet: Fleet, name: str) -> dict[str, Any]:
    webhook = ["strategy", "create", name, "by webhook", "--mode", "BOTH", "--symbol", "NSE:TCS:2", "--quiet"]
    secret = fleet.ok(*webhook).strip()
    ports = fleet.ports[name]
    done = subprocess.run(
        [
            *(str(client_python("openalgo")), str(SCRIPT), fleet.url(name), fleet.key(name)),
            *(str(ports["WEBSOCKET_PORT"]), secret),
        ],
        capture_output=True,
        text=True,
        timeout=180,
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert rows, f"{name}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{fleet.tails()}"
    found = json.loads(rows[0].removeprefix("RESULT "))
    assert isinstance(found, dict)
    return found | {"secret": secret}


@pytest.fixture(scope="module")
def runs(fleet: Fleet) -> dict[str, dict[str, Any]]:
    with ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(run, fleet, name) for name in BOTH}
        return {name: future.result() for name, future in futures.items()}


def log_of(fleet: Fleet, name: str) -> Iterator[dict[str, Any]]:
    path = fleet.home / "db" / "sim" / "log" / f"{name}.api.log"
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def failures(answer: Any) -> list[Any]:
    """What in an answer is not success, parts of it included."""
    if isinstance(answer, dict) and "rows" in answer:
        return [] if answer["rows"] else [answer]
    if not isinstance(answer, dict):
        return [answer]
    parts = [row for name in ("results", "split_results") for row in answer.get(name, [])]
    found = [row for row in parts if row.get("status", "success") != "success" or row.get("error")]
    return found + ([answer] if answer.get("status") != "success" else [])


def test_the_list_has_the_sdks_35_endpoints_telegram_and_the_webhook():
    assert len(SUCCEED) == 36
    assert "Strategy.strategyorder" in SUCCEED


@pytest.mark.parametrize("name", BOTH)
def test_no_method_of_the_sdk_is_forgotten(runs, name):
    seen = runs[name]
    assert seen["trouble"] == []
    called = set(seen["answers"])
    assert set(seen["methods"]) <= called, set(seen["methods"]) - called
    assert set(seen["methods"]) == {*METHODS, *FEED, *READ, "interval"}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("method", [*SUCCEED, "interval"])
def test_the_method_succeeds(runs, name, method):
    answers = runs[name]["answers"]
    assert method in answers, f"never called: {runs[name]['trouble']}"
    assert failures(answers[method]) == []


def lacking(value: Any, steps: list[str]) -> bool:
    """Whether a key of the list (``data[].ltp``, ``chain[].ce.symbol``) is missing anywhere in an answer."""
    if value is None or not steps:
        return False  # a side of a strike that is not listed
    name, many = steps[0].removesuffix("[]"), steps[0].endswith("[]")
    if not isinstance(value, dict) or name not in value:
        return True
    inner = value[name]
    if not many:
        return lacking(inner, steps[1:])
    if not isinstance(inner, list) or (steps[1:] and not inner):
        return True
    return any(lacking(item, steps[1:]) for item in inner)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("method", SUCCEED)
def test_the_answer_has_the_keys_of_the_list(runs, name, method):
    answer = runs[name]["answers"][method]
    wanted = [key for key in KEYS[method] if not key.endswith("?")]
    if "columns" in answer:  # the SDK made a table of it; the time is its index
        columns = {*answer["columns"], "timestamp", "status", "message"}
        assert [key for key in wanted if key.removeprefix("data[].") not in columns] == []
        return
    if method == "holidays":  # days on which nothing trades have no session to look into
        wanted = [key for key in wanted if "open_exchanges[]." not in key]
    assert [key for key in wanted if lacking(answer, key.split("."))] == []


@pytest.mark.parametrize("name", BOTH)
def test_each_endpoint_was_reached_and_answered_200(runs, fleet, name):
    served = {row["path"] for row in log_of(fleet, name) if row.get("status") == "200"}
    wanted = {METHODS[method] for method in SUCCEED if method != "Strategy.strategyorder"}
    assert len(wanted) == 35
    assert wanted <= served, wanted - served
    assert "/strategy/webhook/***" in served


@pytest.mark.parametrize("name", BOTH)
def test_telegram_is_a_501_that_says_so(runs, name):
    answer = runs[name]["answers"]["telegram"]
    assert (answer["status"], answer["code"]) == ("error", 501)
    assert "telegram" in answer["message"].lower()


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("method", "answer"), list(FEED.items()))
def test_the_feed_method_answers(runs, name, method, answer):
    assert runs[name]["answers"][method] == answer


@pytest.mark.parametrize("name", BOTH)
def test_the_feed_was_read(runs, name):
    answers = runs[name]["answers"]
    assert answers["get_ltp"]["ltp"]["NSE"]["SBIN"]["ltp"] > 0
    assert answers["get_quotes"]["quote"]["NSE"]["SBIN"]["ltp"] > 0
    assert float(answers["get_depth"]["depth"]["NSE"]["SBIN"]["buyBook"]["1"]["price"]) > 0
    assert runs[name]["ticks"] >= 3


@pytest.mark.parametrize("name", BOTH)
def test_the_strategy_classs_order_shows_in_the_book(runs, name):
    [order] = runs[name]["answers"]["webhook_orders"]
    told = (order["symbol"], order["action"], order["quantity"], order["product"], order["strategy"])
    assert told == ("TCS", "BUY", 2, "MIS", "by webhook")


@pytest.mark.parametrize("name", BOTH)
def test_the_webhooks_secret_is_in_no_log(runs, fleet, name):
    folder = fleet.home / "db" / "sim" / "log"
    assert runs[name]["secret"]
    assert [p.name for p in folder.glob("*.log") if runs[name]["secret"] in p.read_text()] == []


@pytest.mark.parametrize("name", BOTH)
def test_analyze_mode_is_switched_and_switched_back(runs, name):
    answers = runs[name]["answers"]
    modes = [answers[n]["data"]["mode"] for n in ("analyzerstatus", "analyzerstatus on", "analyzertoggle")]
    assert modes == ["live", "analyze", "live"]


def post(fleet: Fleet, name: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    url = f"{fleet.url(name)}/api/v1/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def at_the_broker(fleet: Fleet, name: str, symbol: str) -> int:
    url = f"http://127.0.0.1:{fleet.ports[name]['SIM_PORT']}/_sim/orders"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return sum(row["symbol"] == symbol for row in json.loads(answer.read()))


@pytest.mark.parametrize("name", BOTH)
def test_the_contradictions_about_analyze_mode(runs, fleet, name):
    """Rows 8, 10, 11, 16, 17, 30 and 32 of the contract's list, on the sandbox."""
    assert runs
    key = {"apikey": fleet.key(name)}

    def ask(path: str, **body: Any) -> dict[str, Any]:
        status, answer = post(fleet, name, path, key | body)
        assert (status, answer["status"]) == (200, "success"), (path, answer)
        return answer

    ltp = ask("quotes", symbol="SBIN", exchange="NSE")["data"]["ltp"]
    order = {"strategy": "paper", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "product": "MIS"}
    low, high = (f"{round(ltp * factor / 0.05) * 0.05:.2f}" for factor in (0.97, 1.03))
    ask("analyzer/toggle", mode=True)
    try:
        limit = ask("placeorder", **order, quantity=1, pricetype="LIMIT", price=low)["orderid"]
        stop = ask("placeorder", **order, quantity=1, pricetype="SL-M", trigger_price=high)["orderid"]
        terms = {"quantity": 0, "position_size": 3, "pricetype": "LIMIT", "price": low}
        assert all(isinstance(one, str) for one in (limit, stop))
        shown = ask("orderstatus", orderid=stop)["data"]
        assert shown["order_status"] == "trigger pending"
        assert shown["pricetype"] == shown["price_type"] == "SL-M"
        reached = ask("placesmartorder", **order, **terms)["orderid"]
        assert ask("orderstatus", orderid=reached)["data"]["pricetype"] == "LIMIT"
        funds = ask("funds")["data"]
        assert isinstance(funds["availablecash"], str)
        cancelled = ask("cancelallorder")
        assert {limit, stop, reached} <= set(cancelled["canceled_orders"])
        assert cancelled["failed_cancellations"] == []
        hook = f"{fleet.url(name)}/strategy/webhook/{runs[name]['secret']}"
        alert = json.dumps({"symbol": "TCS", "action": "SELL", "position_size": -3}).encode()
        with urllib.request.urlopen(urllib.request.Request(hook, alert), timeout=10) as taken:
            assert taken.status == 200

        def on_paper() -> bool:
            rows = ask("orderbook")["data"]["orders"]
            return any((r["symbol"], r["strategy"], r["quantity"]) == ("TCS", "by webhook", 3) for r in rows)

        until(on_paper, 10, "the alert's order in the sandbox")
        gtt = {
            "trigger_type": "SINGLE",
            "triggerprice_sl": low,
            "price": low,
            "quantity": 1,
            "product": "CNC",
        }
        trigger = ask("placegttorder", **{**order, **gtt})
        assert trigger["mode"] == "analyze"
        ask("cancelgttorder", strategy="paper", trigger_id=trigger["trigger_id"])
    finally:
        ask("analyzer/toggle", mode=False)
    book = ask("orderbook")["data"]["orders"]
    assert [row for row in book if row["strategy"] == "paper"] == []
    assert [row["quantity"] for row in book if row["strategy"] == "by webhook"] == [2]


def test_an_order_waits_for_its_approval_through_a_crash(runs, fleet):
    """Semi-auto mode by the command line: kept over a kill -9, sent once, refused when it should be."""
    assert runs
    key = fleet.key("dhan")
    order = {"apikey": key, "strategy": "slow", "symbol": "ITC", "exchange": "NSE", "action": "BUY"}
    order |= {"quantity": "3", "product": "MIS"}
    assert "semi_auto" in fleet.ok("approvals", "mode", "dhan", "semi_auto")
    status, answer = post(fleet, "dhan", "placeorder", order)
    assert (status, answer["mode"], "orderid" in answer) == (200, "semi_auto", False)
    waits = str(answer["pending_order_id"])
    assert post(fleet, "dhan", "cancelallorder", {"apikey": key})[0] == 403
    pid = fleet.instance("dhan")["pids"]["api"]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        row = fleet.instance("dhan")
        return row["state"] == "ready" and row["pids"]["api"] not in (None, pid)

    until(back, 20, "dhan ready again")
    said = fleet.ok("approvals", "list", "dhan")
    assert "order mode semi_auto" in said
    assert "slow: BUY 3 ITC" in said
    assert at_the_broker(fleet, "dhan", "ITC") == 0
    for _ in range(2):
        assert " done " in fleet.ok("approvals", "approve", "dhan", waits)
    assert at_the_broker(fleet, "dhan", "ITC") == 1
    other = str(post(fleet, "dhan", "placeorder", order)[1]["pending_order_id"])
    assert " rejected " in fleet.ok("approvals", "reject", "dhan", other)
    refused = fleet.algo("approvals", "approve", "dhan", other)
    assert refused.returncode == 1
    assert "rejected" in refused.stderr
    assert "order mode auto" in fleet.ok("approvals", "mode", "dhan", "auto")
    assert post(fleet, "dhan", "placeorder", order)[1]["orderid"]
    assert at_the_broker(fleet, "dhan", "ITC") == 2


def test_strategies_are_listed_changed_and_ended_by_the_command_line(runs, fleet):
    assert runs
    said = fleet.ok("strategy", "list", "kotak")
    assert "by webhook (tradingview, BOTH)" in said
    assert "NSE:TCS x 2 MIS" in said
    assert "by webhook: TCS to 2" in fleet.ok("strategy", "alerts", "kotak")
    assert "NSE:INFY x 4 CNC" in fleet.ok("strategy", "add", "kotak", "by webhook", "NSE:INFY:4:CNC")
    assert "INFY" not in fleet.ok("strategy", "remove", "kotak", "by webhook", "INFY")
    assert "disabled" in fleet.ok("strategy", "disable", "kotak", "by webhook")
    wrong = fleet.algo("strategy", "create", "kotak", "x", "--symbol", "NSE:NOSUCH:1")
    assert (wrong.returncode, "not in the instrument table" in wrong.stderr) == (1, True)
    wrong = fleet.algo("strategy", "create", "kotak", "x", "--start", "09:20")
    assert (wrong.returncode, "--square-off" in wrong.stderr) == (2, True)
    assert "deleted" in fleet.ok("strategy", "delete", "kotak", "by webhook")
    assert "no strategies" in fleet.ok("strategy", "list", "kotak")
